# cmake --install build/release --prefix P:
#   bin/gtrain                       the program
#   lib/libgtrain_ops.so, *.a        the rooms
#   include/gtrain                   their headers
#   share/gtrain/{recipes,datasets}  what base/resource.h finds beside bin/
#   share/doc/gtrain, lib/cmake/gtrain
# The prefix may be moved. libtorch is not copied: program and package refer to the one of the build.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(gtrain_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gtrain)
set(gtrain_installed_rooms "")  # the program's own room, cli, is no library for others
foreach(room IN LISTS GTRAIN_ROOMS)
  if(TARGET gtrain_${room} AND NOT room STREQUAL "cli")
    list(APPEND gtrain_installed_rooms ${room})
    install(TARGETS gtrain_${room} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
                                   LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endforeach()

# Beside each other first, then the libtorch of the build.
if(TARGET gtrain_ops)
  set_target_properties(gtrain_ops PROPERTIES INSTALL_RPATH "$ORIGIN;${TORCH_INSTALL_PREFIX}/lib")
endif()
if(TARGET gtrain)
  set_target_properties(gtrain PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${TORCH_INSTALL_PREFIX}/lib")
  install(TARGETS gtrain RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/gtrain DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/recipes ${PROJECT_SOURCE_DIR}/datasets
        DESTINATION ${CMAKE_INSTALL_DATADIR}/gtrain)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The package restates the room table, so that a consumer links what the table says.
set(gtrain_package_rows "")
foreach(room IN LISTS gtrain_installed_rooms)
  get_target_property(type gtrain_${room} TYPE)
  string(REPLACE "_LIBRARY" "" type ${type})
  set(depends ${GTRAIN_ROOM_${room}_DEPENDS})
  list(FILTER depends INCLUDE REGEX ".")
  string(REPLACE ";" " " depends "${depends}")
  string(REPLACE ";" " " uses "${GTRAIN_ROOM_${room}_USES}")
  string(APPEND gtrain_package_rows
    "gtrain_import(${room} ${type} $<TARGET_FILE_NAME:gtrain_${room}> DEPENDS ${depends} USES ${uses})\n")
endforeach()
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/gtrain-config.cmake.in
  ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake.rows
  INSTALL_DESTINATION ${gtrain_package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake
     INPUT ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake.rows)
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/package/gtrain-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/gtrain-config.cmake
              ${PROJECT_BINARY_DIR}/package/gtrain-config-version.cmake
        DESTINATION ${gtrain_package_dir})
