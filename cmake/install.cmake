# What native callers need, laid out the same in a wheel (under vemfast/) and under a prefix.
include(CMakePackageConfigHelpers)

set(VEMFAST_CMAKE_DIR lib/cmake/vemfast)
install(TARGETS vemfast EXPORT vemfastTargets LIBRARY DESTINATION lib)
install(DIRECTORY csrc/include/vemfast DESTINATION include)
install(EXPORT vemfastTargets NAMESPACE vemfast:: DESTINATION ${VEMFAST_CMAKE_DIR})

configure_package_config_file(cmake/vemfastConfig.cmake.in vemfastConfig.cmake
    INSTALL_DESTINATION ${VEMFAST_CMAKE_DIR})
write_basic_package_version_file(vemfastConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vemfastConfig.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/vemfastConfigVersion.cmake DESTINATION ${VEMFAST_CMAKE_DIR})

configure_file(cmake/vemfast.pc.in vemfast.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vemfast.pc DESTINATION lib/pkgconfig)
