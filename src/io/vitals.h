/* vitals - what every process of ours shows of itself: sallyport_process_* (base/metrics.h). */
#pragma once

/* Opens what is read, for a process that can open nothing later. */
void vitals_open(void);
/* Brings its metrics up to date; for the loop's thread, whose fibers are watched. Does not suspend. */
void vitals_refresh(void);
