# The page. With the packages of package-lock.json (tools/setup gets them) esbuild bundles it with its chart library into one script;
# without them the modules are served as they are, with a module in the place of the charts that draws none.
set(web ${CMAKE_CURRENT_LIST_DIR})
set(page ${CMAKE_CURRENT_BINARY_DIR}/page)
file(GLOB modules CONFIGURE_DEPENDS ${web}/*.js)
if(EXISTS ${web}/node_modules/.bin/esbuild AND EXISTS ${web}/node_modules/uplot)
  add_custom_command(OUTPUT ${page}/page.js ${page}/page.css
    COMMAND ${web}/node_modules/.bin/esbuild ${web}/page.js --bundle --minify --format=esm --target=es2020 --legal-comments=eof
      --log-level=warning --outdir=${page}
    DEPENDS ${modules} ${web}/page.css VERBATIM)
  set(files /=${web}/index.html /page.js=${page}/page.js /page.css=${page}/page.css)
  set(made ${page}/page.js ${page}/page.css)
else()
  message(STATUS "no packages in debug/web/node_modules (npm ci): the debug server's page has no charts")
  set(files /=${web}/index.html /page.css=${web}/page.css /charts.js=${web}/no_charts.js)
  foreach(module IN LISTS modules)
    get_filename_component(name ${module} NAME)
    if(NOT name MATCHES "^(no_)?charts.js$")
      list(APPEND files /${name}=${module})
    endif()
  endforeach()
  set(made ${modules} ${web}/page.css)
endif()
add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/web_assets.cc
  COMMAND ${CMAKE_COMMAND} "-DFILES=${files}" -DOUT=${CMAKE_CURRENT_BINARY_DIR}/web_assets.cc -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
  DEPENDS ${made} ${web}/index.html ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake VERBATIM)
