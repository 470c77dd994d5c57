/* internal: errors are -errno; this names them for people and for JSON. */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

/* "ECONNRESET" for -ECONNRESET or ECONNRESET; "E?" for an unknown one. Static storage. */
const char *err_name(int error);
/* "connection reset by peer"; static storage, any thread. */
const char *err_text(int error);

#endif
