# Warnings for our own sources. They are errors only on request (VEMFAST_WERROR): nobody who
# installs should fail because a newer compiler warns about more.
option(VEMFAST_WERROR "Treat compiler warnings as errors" OFF)

function(vemfast_warnings target)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wno-unknown-pragmas)
    if(VEMFAST_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()
