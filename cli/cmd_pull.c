// SPDX-License-Identifier: Apache-2.0
// `cfine pull`: fetches a published checkpoint. Files gather in "<cache>/.partial/<name>", which becomes
// "<cache>/<name>" once all are there and the model opens: a name that can be opened is always whole.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cfine/cfine.h"
#include "download.h"
#include "heap.h"
#include "hub.h"
#include "message.h"
#include "verbs.h"

typedef struct {
    const char *revision;
    int list, force, retries;
} pull_args;

static const cli_option options[] = {
    {"revision", 'r', "REV", "branch, tag or commit of the repository (default: main)", CLI_TEXT,
     offsetof(pull_args, revision)},
    {"list", 'l', NULL, "list the published models and which of them are here", CLI_FLAG, offsetof(pull_args, list)},
    {"force", 'f', NULL, "fetch again what is here", CLI_FLAG, offsetof(pull_args, force)},
    {"retries", 0, "N", "tries after a first that failed; what arrived is kept (default: 4)", CLI_INT,
     offsetof(pull_args, retries), .least = 0, .most = 100},
};

static const struct {
    const char *name;
    int optional;
} files[] = {{"config.json", 0}, {"preprocessor_config.json", 1}, {"model.safetensors", 0}};

// Where things are while a model is fetched.
typedef struct {
    const char *name; // without the owner
    char *repository, *folder, *partial;
    const char *revision;
    int lock; // file descriptor of the partial folder
} pull;

static int make_folders(const char *path) {
    char *copy = cli_format("%s", path);
    int made = 1;
    for (char *slash = copy + 1; made && *slash; slash++) {
        if (*slash != '/') continue;
        *slash = 0;
        made = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *slash = '/';
    }
    if (made) made = mkdir(copy, 0777) == 0 || errno == EEXIST;
    if (!made) cli_error("%s: cannot make this folder: %s", path, strerror(errno));
    free(copy);
    return made;
}

// Removes a folder of plain files.
static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char *file = cli_format("%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlink(file);
        free(file);
    }
    closedir(folder);
    rmdir(path);
}

static int is_here(const char *folder) {
    char *config = cli_format("%s/config.json", folder);
    int here = access(config, F_OK) == 0;
    free(config);
    return here;
}

static int list_models(const char *cache) {
    for (int i = 0; cli_hub_models[i].name; i++) {
        char *folder = cli_format("%s/%s", cache, cli_hub_models[i].name);
        printf("%-22s  %-7s %s\n", cli_hub_models[i].name, is_here(folder) ? "pulled" : "", cli_hub_models[i].about);
        free(folder);
    }
    return CLI_OK;
}

// One process at a time may fill a partial folder.
static int lock_partial(pull *it) {
    it->lock = open(it->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (it->lock >= 0 && flock(it->lock, LOCK_EX | LOCK_NB) == 0) return 1;
    if (it->lock >= 0 && errno == EWOULDBLOCK)
        cli_error("%s: another cfine is pulling this model", it->name);
    else
        cli_error("%s: cannot lock this folder: %s", it->partial, strerror(errno));
    return 0;
}

static int fetch_file(const cli_curl *curl, const pull *it, const char *file, int optional, int retries) {
    char *path = cli_format("%s/%s", it->partial, file), *url = cli_hub_url(it->repository, it->revision, file);
    cli_download download = {.url = url, .token = cli_hub_token(), .path = path, .retries = retries};
    int ok = 1;
    if (access(path, F_OK) != 0) { // else an earlier pull got this far
        cli_download_result result = cli_download_run(curl, &download);
        ok = result == CLI_DOWNLOADED || (result == CLI_DOWNLOAD_ABSENT && optional);
        if (result == CLI_DOWNLOAD_ABSENT && !optional)
            cli_error("%s: there is no such file (HTTP 404): check the name and the revision; published models: "
                      "cfine pull --list",
                      url);
    }
    free(url);
    free(path);
    return ok;
}

// The library reads the headers of all tensors: what opens is a model, and whole.
static int check_model(const pull *it) {
    cfine_model *model;
    cfine_error error;
    if (cfine_model_open(it->partial, &model, &error) == CFINE_OK) {
        cfine_model_close(model);
        return 1;
    }
    cli_error("%s was fetched, but it is no model that this version runs: %s", it->repository, error.message);
    remove_folder(it->partial);
    return 0;
}

// Gives the folder its final name; an older one of that name makes room.
static int install(const pull *it) {
    char *old = cli_format("%s.old", it->partial);
    remove_folder(old);
    int replaced = rename(it->folder, old) == 0;
    int ok = (replaced || errno == ENOENT) && rename(it->partial, it->folder) == 0;
    if (!ok) {
        cli_error("%s: cannot put the model here: %s", it->folder, strerror(errno));
        if (replaced) rename(old, it->folder);
    } else if (replaced) {
        remove_folder(old);
    }
    free(old);
    return ok;
}

// A partial folder holds files of one revision.
static char *partial_folder(const char *cache, const char *name, const char *revision) {
    char *folder = cli_format("%s/.partial/%s@%s", cache, name, revision);
    for (char *slash = strrchr(folder, '@'); *slash; slash++)
        if (*slash == '/') *slash = '_';
    return folder;
}

static int fetch(pull *it, const pull_args *args) {
    if (!make_folders(it->partial) || !lock_partial(it)) return CLI_FAILED;
    const cli_curl *curl = cli_curl_open();
    if (!curl) return CLI_FAILED;
    for (size_t i = 0; i < CLI_COUNT(files); i++)
        if (!fetch_file(curl, it, files[i].name, files[i].optional, args->retries)) return CLI_FAILED;
    if (!check_model(it) || !install(it)) return CLI_FAILED;
    puts(it->folder);
    return CLI_OK;
}

static int pull_model(const pull_args *args, const char *cache, const char *name) {
    pull it = {.repository = cli_hub_repository(name), .revision = args->revision, .lock = -1};
    if (!it.repository)
        return cli_usage(&cli_verb_pull, "'%s' is neither a published model (cfine pull --list) nor OWNER/NAME", name);
    const char *slash = strchr(name, '/');
    it.name = slash ? slash + 1 : name;
    it.folder = cli_format("%s/%s", cache, it.name);
    it.partial = partial_folder(cache, it.name, it.revision);
    int status = CLI_OK;
    if (is_here(it.folder) && !args->force) {
        cli_note("%s is here already; --force fetches it again", it.name);
        puts(it.folder);
    } else {
        status = fetch(&it, args);
    }
    if (it.lock >= 0) close(it.lock);
    free(it.partial);
    free(it.folder);
    free(it.repository);
    return status;
}

static int run(int argc, char **argv) {
    pull_args args = {.revision = "main", .retries = 4};
    int operands, status;
    if (!cli_parse(&cli_verb_pull, argc, argv, &args, &operands, &status)) return status;
    char cache[4096];
    if (!cfine_cache_folder(cache, sizeof cache)) {
        cli_error("no folder for pulled models: HOME is not set; set CFINE_CACHE to a folder");
        return CLI_FAILED;
    }
    if (args.list) return list_models(cache);
    if (!operands) return cli_usage(&cli_verb_pull, "NAME is missing (cfine pull --list)");
    if (!*args.revision || args.revision[0] == '.') return cli_usage(&cli_verb_pull, "--revision: '%s'", args.revision);
    for (int i = 1; i <= operands; i++) {
        int pulled = pull_model(&args, cache, argv[i]);
        if (pulled > status) status = pulled;
    }
    return status;
}

const cli_verb cli_verb_pull = {
    .name = "pull",
    .summary = "fetch a published model",
    .operands = "[NAME...]",
    .operands_most = -1,
    .about =
        "A NAME is a published D-FINE (see --list) or the OWNER/NAME of another repository of the hub. Its files\n"
        "are checked and go to ~/.cache/cfine/NAME; print where. What broke off goes on where it ended. HF_ENDPOINT\n"
        "names another hub, HF_TOKEN opens private models.\n",
    .example = "cfine pull --list\n"
               "cfine pull dfine-nano-coco && cfine detect --model dfine-nano-coco photo.jpg\n"
               "HF_ENDPOINT=https://mirror.example cfine pull dfine-small-coco\n",
    .options = options,
    .option_count = CLI_COUNT(options),
    .run = run,
};
