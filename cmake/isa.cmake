# vemfast_add_level(<level> <vector bytes> [flags...]): the kernel sources compiled for one
# instruction-set level, as the OBJECT library vemfast_kernels_<level>.
#
# -fno-trapping-math and -fno-math-errno let clamps, selects and square roots vectorise; neither
# changes a result. -ffp-contract=fast makes a*b+c one fused instruction where the level has it
# (an explicit fma would be a library call where it has not). -ffast-math is never used: it changes results, and the floating-point mode of
# the whole process.
function(vemfast_add_level level vector_bytes)
    set(target vemfast_kernels_${level})
    add_library(${target} OBJECT ${VEMFAST_KERNEL_SOURCES})
    vemfast_common(${target})
    target_compile_definitions(
        ${target} PRIVATE VEMFAST_LEVEL=${level} VEMFAST_VECTOR_BYTES=${vector_bytes})
    target_compile_options(${target} PRIVATE
        $<$<NOT:$<CONFIG:Debug>>:-O3> -fopenmp-simd -fno-math-errno -fno-trapping-math
        -ffp-contract=fast ${ARGN})
    set(VEMFAST_LEVELS ${VEMFAST_LEVELS} ${level} PARENT_SCOPE)
endfunction()

set(VEMFAST_LEVELS "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    # The feature lists are spelled out: older compilers reject -march=x86-64-v3.
    set(v2_flags -mcx16 -msahf -mpopcnt -msse3 -msse4.1 -msse4.2 -mssse3)
    set(v3_flags ${v2_flags} -mavx -mavx2 -mbmi -mbmi2 -mf16c -mfma -mlzcnt -mmovbe)
    set(v4_flags ${v3_flags} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl
        -mprefer-vector-width=512)
    vemfast_add_level(v2 16 ${v2_flags})
    vemfast_add_level(v3 32 ${v3_flags})
    vemfast_add_level(v4 64 ${v4_flags})
else()
    vemfast_add_level(base 16)
endif()
