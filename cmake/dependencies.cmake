# Libraries that libcfine links; docs/decisions.md says why each is here. draw/ adds the headers of cairo.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CFINE_DEPS REQUIRED IMPORTED_TARGET libjpeg spng libwebp jansson)

add_library(cfine_dependencies INTERFACE)
target_link_libraries(cfine_dependencies INTERFACE PkgConfig::CFINE_DEPS Threads::Threads ${CMAKE_DL_LIBS} m)
