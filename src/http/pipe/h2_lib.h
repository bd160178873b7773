/* h2_lib - the functions of nghttp2 that h2 calls, found at run time.
 *
 * Only a process that speaks HTTP/2 at the boundary loads it. A function that is not in the list
 * would be linked, and then every process loads nghttp2: tests/scenario/libraries.test.mjs. */
#pragma once

#include "base/base.h"

#include <nghttp2/nghttp2.h>

struct err;

/* Every function used. All are in nghttp2 1.52. */
#define H2_FUNCTIONS(X)                                                                            \
    X(nghttp2_option_del)                                                                          \
    X(nghttp2_option_new)                                                                          \
    X(nghttp2_option_set_max_send_header_block_length)                                             \
    X(nghttp2_option_set_no_auto_window_update)                                                    \
    X(nghttp2_option_set_no_closed_streams)                                                        \
    X(nghttp2_session_callbacks_new)                                                               \
    X(nghttp2_session_callbacks_set_on_begin_headers_callback)                                     \
    X(nghttp2_session_callbacks_set_on_data_chunk_recv_callback)                                   \
    X(nghttp2_session_callbacks_set_on_frame_not_send_callback)                                    \
    X(nghttp2_session_callbacks_set_on_frame_recv_callback)                                        \
    X(nghttp2_session_callbacks_set_on_frame_send_callback)                                        \
    X(nghttp2_session_callbacks_set_on_header_callback)                                            \
    X(nghttp2_session_callbacks_set_on_invalid_frame_recv_callback)                                \
    X(nghttp2_session_callbacks_set_on_invalid_header_callback)                                    \
    X(nghttp2_session_callbacks_set_on_stream_close_callback)                                      \
    X(nghttp2_session_callbacks_set_send_data_callback)                                            \
    X(nghttp2_session_change_extpri_stream_priority)                                               \
    X(nghttp2_session_check_request_allowed)                                                       \
    X(nghttp2_session_client_new3)                                                                 \
    X(nghttp2_session_consume)                                                                     \
    X(nghttp2_session_consume_connection)                                                          \
    X(nghttp2_session_consume_stream)                                                              \
    X(nghttp2_session_del)                                                                         \
    X(nghttp2_session_get_last_proc_stream_id)                                                     \
    X(nghttp2_session_get_outbound_queue_size)                                                     \
    X(nghttp2_session_get_remote_settings)                                                         \
    X(nghttp2_session_get_stream_user_data)                                                        \
    X(nghttp2_session_mem_recv)                                                                    \
    X(nghttp2_session_mem_send)                                                                    \
    X(nghttp2_session_resume_data)                                                                 \
    X(nghttp2_session_server_new3)                                                                 \
    X(nghttp2_session_set_local_window_size)                                                       \
    X(nghttp2_session_set_stream_user_data)                                                        \
    X(nghttp2_session_terminate_session)                                                           \
    X(nghttp2_session_want_read)                                                                   \
    X(nghttp2_session_want_write)                                                                  \
    X(nghttp2_strerror)                                                                            \
    X(nghttp2_submit_goaway)                                                                       \
    X(nghttp2_submit_headers)                                                                      \
    X(nghttp2_submit_ping)                                                                         \
    X(nghttp2_submit_request)                                                                      \
    X(nghttp2_submit_response)                                                                     \
    X(nghttp2_submit_rst_stream)                                                                   \
    X(nghttp2_submit_settings)                                                                     \
    X(nghttp2_submit_trailer)

struct h2_lib {
#define FIELD(f) __typeof__(&f) f##_;
    H2_FUNCTIONS(FIELD)
#undef FIELD
    /* NULL in versions without the limit: it came as a patch (CVE-2023-44487) */
    void (*set_reset_rate)(nghttp2_option *o, uint64_t burst, uint64_t rate);
};
extern struct h2_lib h2_lib;

/* Once before any of them, on the loop thread; again costs nothing. 0, or a negative code with
 * words. */
int h2_lib_open(struct err *e) WARN_UNUSED;

/* Called by their own names. */
#define nghttp2_option_del h2_lib.nghttp2_option_del_
#define nghttp2_option_new h2_lib.nghttp2_option_new_
#define nghttp2_option_set_max_send_header_block_length                                            \
    h2_lib.nghttp2_option_set_max_send_header_block_length_
#define nghttp2_option_set_no_auto_window_update h2_lib.nghttp2_option_set_no_auto_window_update_
#define nghttp2_option_set_no_closed_streams     h2_lib.nghttp2_option_set_no_closed_streams_
#define nghttp2_session_callbacks_new            h2_lib.nghttp2_session_callbacks_new_
#define nghttp2_session_callbacks_set_on_begin_headers_callback                                    \
    h2_lib.nghttp2_session_callbacks_set_on_begin_headers_callback_
#define nghttp2_session_callbacks_set_on_data_chunk_recv_callback                                  \
    h2_lib.nghttp2_session_callbacks_set_on_data_chunk_recv_callback_
#define nghttp2_session_callbacks_set_on_frame_not_send_callback                                   \
    h2_lib.nghttp2_session_callbacks_set_on_frame_not_send_callback_
#define nghttp2_session_callbacks_set_on_frame_recv_callback                                       \
    h2_lib.nghttp2_session_callbacks_set_on_frame_recv_callback_
#define nghttp2_session_callbacks_set_on_frame_send_callback                                       \
    h2_lib.nghttp2_session_callbacks_set_on_frame_send_callback_
#define nghttp2_session_callbacks_set_on_header_callback                                           \
    h2_lib.nghttp2_session_callbacks_set_on_header_callback_
#define nghttp2_session_callbacks_set_on_invalid_frame_recv_callback                               \
    h2_lib.nghttp2_session_callbacks_set_on_invalid_frame_recv_callback_
#define nghttp2_session_callbacks_set_on_invalid_header_callback                                   \
    h2_lib.nghttp2_session_callbacks_set_on_invalid_header_callback_
#define nghttp2_session_callbacks_set_on_stream_close_callback                                     \
    h2_lib.nghttp2_session_callbacks_set_on_stream_close_callback_
#define nghttp2_session_callbacks_set_send_data_callback                                           \
    h2_lib.nghttp2_session_callbacks_set_send_data_callback_
#define nghttp2_session_change_extpri_stream_priority                                              \
    h2_lib.nghttp2_session_change_extpri_stream_priority_
#define nghttp2_session_check_request_allowed   h2_lib.nghttp2_session_check_request_allowed_
#define nghttp2_session_client_new3             h2_lib.nghttp2_session_client_new3_
#define nghttp2_session_consume                 h2_lib.nghttp2_session_consume_
#define nghttp2_session_consume_connection      h2_lib.nghttp2_session_consume_connection_
#define nghttp2_session_consume_stream          h2_lib.nghttp2_session_consume_stream_
#define nghttp2_session_del                     h2_lib.nghttp2_session_del_
#define nghttp2_session_get_last_proc_stream_id h2_lib.nghttp2_session_get_last_proc_stream_id_
#define nghttp2_session_get_outbound_queue_size h2_lib.nghttp2_session_get_outbound_queue_size_
#define nghttp2_session_get_remote_settings     h2_lib.nghttp2_session_get_remote_settings_
#define nghttp2_session_get_stream_user_data    h2_lib.nghttp2_session_get_stream_user_data_
#define nghttp2_session_mem_recv                h2_lib.nghttp2_session_mem_recv_
#define nghttp2_session_mem_send                h2_lib.nghttp2_session_mem_send_
#define nghttp2_session_resume_data             h2_lib.nghttp2_session_resume_data_
#define nghttp2_session_server_new3             h2_lib.nghttp2_session_server_new3_
#define nghttp2_session_set_local_window_size   h2_lib.nghttp2_session_set_local_window_size_
#define nghttp2_session_set_stream_user_data    h2_lib.nghttp2_session_set_stream_user_data_
#define nghttp2_session_terminate_session       h2_lib.nghttp2_session_terminate_session_
#define nghttp2_session_want_read               h2_lib.nghttp2_session_want_read_
#define nghttp2_session_want_write              h2_lib.nghttp2_session_want_write_
#define nghttp2_strerror                        h2_lib.nghttp2_strerror_
#define nghttp2_submit_goaway                   h2_lib.nghttp2_submit_goaway_
#define nghttp2_submit_headers                  h2_lib.nghttp2_submit_headers_
#define nghttp2_submit_ping                     h2_lib.nghttp2_submit_ping_
#define nghttp2_submit_request                  h2_lib.nghttp2_submit_request_
#define nghttp2_submit_response                 h2_lib.nghttp2_submit_response_
#define nghttp2_submit_rst_stream               h2_lib.nghttp2_submit_rst_stream_
#define nghttp2_submit_settings                 h2_lib.nghttp2_submit_settings_
#define nghttp2_submit_trailer                  h2_lib.nghttp2_submit_trailer_
