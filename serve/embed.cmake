# cmake -DINPUT=page.html -DOUTPUT=page.c -P embed.cmake: the bytes of a file as C.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"page.h\"\n\nconst unsigned char serve_page[] = {\n${bytes}};\n"
                     "const size_t serve_page_size = sizeof serve_page;\n")
