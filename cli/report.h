// SPDX-License-Identifier: Apache-2.0
// Results as text: tables for people, JSON for programs.
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdio.h>

#include "cfine/cfine.h"

// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void cli_print_json_text(FILE *stream, const char *text);

// A JSON number with at most `digits` decimals, and at least one: 0.5, 12.0; NaN and infinity become null.
void cli_print_json_number(FILE *stream, double value, int digits);

// Text for a terminal: control characters become '?'.
void cli_print_text(FILE *stream, const char *text);

// Columns that a text takes on a terminal (one for each code point).
int cli_text_width(const char *text);

// The detections of one image: a heading and a table, or one JSON object on a line.
void cli_print_detections(const char *path, const cfine_detections *found, const cfine_session *session);
void cli_print_detections_json(const char *path, const cfine_detections *found, const cfine_session *session);

#endif
