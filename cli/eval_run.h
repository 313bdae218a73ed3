// SPDX-License-Identifier: Apache-2.0
// A model over the images of a dataset: what every measurement of accuracy does.
#ifndef CLI_EVAL_RUN_H
#define CLI_EVAL_RUN_H

#include "cfine/cfine.h"
#include "coco_ap.h"
#include "label_map.h"

typedef struct cli_eval_run {
    coco_results results;         // of all images, every detection whatever its score
    int images;                   // that went through the network
    int failed;                   // images that could not be read, each reported on standard error
    int other_size;               // images whose size is not the annotated one
    double open_seconds, seconds; // the latter: decoding and network over all images
} cli_eval_run;

// Who finds the objects in up to `batch` images.
typedef struct cli_detector {
    cfine_status (*detect)(void *context, const cfine_image *images, int count, const cfine_detect_options *options,
                           cfine_detections *out, cfine_error *error);
    void *context;
    int batch;
} cli_detector;

// Runs the images of the dataset (up to its limit) through the session, `batch` at a time, decoding ahead in threads of
// its own. Pictures lie in `folder` under their file_name. EXIF orientation is left alone, as COCO's annotations do.
// progress = 1 shows a bar on a terminal. Release with coco_results_release(&out->results).
cfine_status cli_eval_session(cfine_session *session, const coco_dataset *dataset, const char *folder,
                              const cli_label_map *labels, int progress, cli_eval_run *out, cfine_error *error);

// The same with another engine.
cfine_status cli_eval_detector(const cli_detector *detector, const coco_dataset *dataset, const char *folder,
                               const cli_label_map *labels, int progress, cli_eval_run *out, cfine_error *error);

// Where a picture of a dataset lies: FOLDER/its name, or FOLDER/the name's last part, as some annotation files name a
// folder too. Free with free().
char *cli_picture_path(const char *folder, const char *file);

// CFINE_OK if the folder is one, every image of the dataset (up to its limit) has a name, and at least `least` of them
// are in the folder.
cfine_status cli_check_folder(const char *folder, const coco_dataset *dataset, int32_t least, cfine_error *error);

// Reads every picture of the dataset once, reports those that cannot be read, and puts 1 or 0 into readable[limit].
// Returns how many can be read.
int32_t cli_find_readable(const char *folder, const coco_dataset *dataset, uint8_t *readable);

#endif
