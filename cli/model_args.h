// SPDX-License-Identifier: Apache-2.0
// The options by which every verb that runs a model says which one and how.
#ifndef CLI_MODEL_ARGS_H
#define CLI_MODEL_ARGS_H

#include "cfine/cfine.h"
#include "options.h"

typedef struct cli_model_args {
    const char *model; // NULL: the bundled one
    int precision;     // a cfine_precision: 0 if none was asked for
    int queries, decoder_layers, batch, threads;
    int size[2];
    int cpu;                 // index into cli_cpu_levels
    const char *device;      // NULL: the CPU
    const char *calibration; // for int8
} cli_model_args;

extern const char *const cli_precisions[];        // in the order of cfine_precision, from CFINE_FP32
extern const char *const cli_precision_choices[]; // cfine_precision, "default" first
extern const char *const cli_cpu_levels[];
// What --cpu and CFINE_CPU take, beside native.
#define CLI_CPU_LEVELS "scalar, avx2, avxvnni, avx512, avx512vnni, avx512bf16, avx512fp16, amx"
#define CLI_CPU_HELP "highest instruction set to use: " CLI_CPU_LEVELS " (default: native)"

extern const char *const cli_auto[]; // for batches: CFINE_BATCH_AUTO

// Rows for a table of options; `type` is the verb's struct of arguments, `member` its cli_model_args. The second set is
// for verbs that take the model as an operand.
#define CLI_MODEL_OPTION_MODEL(type, member)                                                                           \
    {                                                                                                                  \
        "model", 'm', "MODEL",                                                                                         \
            "a directory of Hugging Face, an official .pth, a .plan, or the name of a bundled or pulled model "        \
            "(default: "                                                                                               \
            "the bundled one)",                                                                                        \
            CLI_TEXT, offsetof(type, member.model), .completion = CLI_COMPLETE_FILES                                   \
    }
// For verbs that make something of a checkpoint.
#define CLI_CHECKPOINT_OPTION(type, member)                                                                            \
    {                                                                                                                  \
        "model", 'm', "MODEL",                                                                                         \
            "a directory of Hugging Face, an official .pth, or the name of a bundled or pulled model (default: the "   \
            "bundled one)",                                                                                            \
            CLI_TEXT, offsetof(type, member.model), .completion = CLI_COMPLETE_FILES                                   \
    }
#define CLI_MODEL_OPTIONS(type, member) CLI_MODEL_OPTION_MODEL(type, member), CLI_RUN_OPTIONS(type, member)
#define CLI_RUN_OPTIONS(type, member)                                                                                   \
    {"precision",                                                                                                       \
     'p',                                                                                                               \
     "P",                                                                                                               \
     "precision of the network: fp32, bf16, fp16, int8, fp8, or default, which is fp32 or the plan's",                  \
     CLI_CHOICE,                                                                                                        \
     offsetof(type, member.precision),                                                                                  \
     .choices = cli_precision_choices},                                                                                 \
        {"calibration",                                                                                                 \
         0,                                                                                                             \
         "FILE",                                                                                                        \
         "ranges for int8 and fp8, as cfine calibrate writes them",                                                     \
         CLI_TEXT,                                                                                                      \
         offsetof(type, member.calibration),                                                                            \
         .completion = CLI_COMPLETE_FILES},                                                                             \
        {"queries",  'q',                                                                                               \
         "N",        "object queries, the most objects an image can have (default: as trained)",                        \
         CLI_INT,    offsetof(type, member.queries),                                                                    \
         .least = 1, .most = 100000},                                                                                   \
        {"decoder-layers",                                                                                              \
         0,                                                                                                             \
         "N",                                                                                                           \
         "decoder layers to run (default: as trained)",                                                                 \
         CLI_INT,                                                                                                       \
         offsetof(type, member.decoder_layers),                                                                         \
         .least = 1,                                                                                                    \
         .most = 100},                                                                                                  \
        {"size",   's',                                                                                                 \
         "WxH",    "input of the network in pixels, multiples of 32; one number stands for both (default: as trained)", \
         CLI_SIZE, offsetof(type, member.size)},                                                                        \
        {"batch",                                                                                                       \
         'b',                                                                                                           \
         "N",                                                                                                           \
         "images per run of the network; on a GPU auto: as many as fit (default: 1)",                                   \
         CLI_INT,                                                                                                       \
         offsetof(type, member.batch),                                                                                  \
         .least = 1,                                                                                                    \
         .most = 1024,                                                                                                  \
         .choices = cli_auto},                                                                                          \
        {"threads",  't',         "N", "threads (default: one for each core)", CLI_INT, offsetof(type, member.threads), \
         .least = 1, .most = 1024},                                                                                     \
        {"device",   0,                                                                                                 \
         "DEVICE",   "cpu, cuda or cuda:N, a GPU by its number; detect and serve: cuda:0,1 too (default: cpu)",         \
         CLI_DEVICE, offsetof(type, member.device)},                                                                    \
    {                                                                                                                   \
        "cpu", 0, "LEVEL", CLI_CPU_HELP, CLI_CHOICE, offsetof(type, member.cpu), .choices = cli_cpu_levels              \
    }

// Where sessions run: "cuda:0,2" is {"cuda:0", "cuda:2"}, anything else one device as it was given.
typedef struct cli_devices {
    char names[CLI_MAX_GPUS][24];
    int count, on_gpu;
} cli_devices;

// Splits --device of the verbs that can use several GPUs, and leaves the first one in args->device, which then points
// into *out.
void cli_read_devices(cli_model_args *args, cli_devices *out);

// The model as people are told of it.
const char *cli_model_name(const cli_model_args *args);

// 1 if a model of this name (NULL: the bundled one) is a plan file.
int cli_is_plan_name(const char *model);

// What the library is to be asked for. Applies --cpu to the process.
cfine_status cli_open_options(const cli_model_args *args, cfine_open_options *out, cfine_error *error);

// Opens the model as the options say, and tells of a calibration for another input size.
cfine_status cli_open_session(const cli_model_args *args, int profile, cfine_session **out, cfine_error *error);

// For who opens it otherwise: tells of a calibration (file NULL: none) that was made at another size than the plan's.
void cli_note_calibration(const char *file, const cfine_plan *plan);

#endif
