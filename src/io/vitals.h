/* vitals - what every process of ours shows of itself: sallyport_process_* (base/metrics.h). */
#pragma once

/* Brings its metrics up to date; for the loop's thread, whose fibers are watched. Does not suspend. */
void vitals_refresh(void);
