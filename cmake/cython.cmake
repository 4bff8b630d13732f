# vemfast/kernels.pyx, the functions that Cython code takes with `cimport vemfast.kernels`: an
# extension of its own, so that _core and it need nothing of each other.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND ${Python_EXECUTABLE} -m cython --version
    RESULT_VARIABLE VEMFAST_CYTHON_FAILS OUTPUT_QUIET ERROR_QUIET)
if(VEMFAST_CYTHON_FAILS)
    message(FATAL_ERROR "Cython is missing in ${Python_EXECUTABLE}: pip install cython, or build "
        "without -DVEMFAST_PYTHON=ON")
endif()
set(VEMFAST_KERNELS_PYX ${PROJECT_SOURCE_DIR}/vemfast/kernels.pyx)
set(VEMFAST_KERNELS_CXX ${CMAKE_CURRENT_BINARY_DIR}/kernels.cxx)
add_custom_command(OUTPUT ${VEMFAST_KERNELS_CXX}
    COMMAND ${Python_EXECUTABLE} -m cython --cplus -3 --module-name vemfast.kernels
        ${VEMFAST_KERNELS_PYX} -o ${VEMFAST_KERNELS_CXX}
    DEPENDS ${VEMFAST_KERNELS_PYX} ${PROJECT_SOURCE_DIR}/vemfast/kernels.pxd
    VERBATIM)
python_add_library(kernels MODULE WITH_SOABI ${VEMFAST_KERNELS_CXX})
target_link_libraries(kernels PRIVATE vemfast)
set_target_properties(kernels PROPERTIES INSTALL_RPATH "${VEMFAST_ORIGIN}/lib")
install(TARGETS kernels LIBRARY DESTINATION . COMPONENT python)
