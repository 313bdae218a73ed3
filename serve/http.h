// SPDX-License-Identifier: Apache-2.0
// The server's side of libmicrohttpd: connections, bodies, answers.
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "request.h"

// Listens and starts the threads; *port is the one that was found where the options leave it open.
cfine_status serve_http_start(serve_server *server, int *port, cfine_error *error);

// Ends connections whose clients are too slow. To be called about once a second.
void serve_http_end_slow_clients(serve_server *server);

// Takes no new connections any more.
void serve_http_quiesce(serve_server *server);

// Ends all connections; no request may be with the batcher.
void serve_http_stop(serve_server *server);

#endif
