# Install rules: headers, static libraries, find_package(lull), pkg-config.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/lull DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
set(lull_libraries lull_alloc lull_gc lull_boost_context lull_malloc_shared lull_malloc_static)
if(LULL_DEBUG_SERVER)
  list(APPEND lull_libraries lull_debug)
endif()
install(TARGETS ${lull_libraries} EXPORT lull_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT lull_targets NAMESPACE lull:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lull)
configure_package_config_file(cmake/lull-config.cmake.in lull-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lull)
write_basic_package_version_file(lull-config-version.cmake COMPATIBILITY SameMinorVersion)
# Found from where it lies, so that `cmake --install --prefix` and a moved tree are right.
file(RELATIVE_PATH lull_prefix_from_pc /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/lull.pc.in lull.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lull-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/lull-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lull)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lull.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES tools/gdb/lull.py DESTINATION ${CMAKE_INSTALL_DATADIR}/lull/gdb)

# cpack -G DEB: headers, static libraries and liblull-malloc.so in one package.
set(CPACK_PACKAGE_NAME lull)
set(CPACK_PACKAGE_CONTACT "the lull project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6, libstdc++6")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_GENERATOR DEB)
include(CPack)
