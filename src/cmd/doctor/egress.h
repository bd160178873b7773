/* egress - what the way out of sandboxes needs of this machine. */
#pragma once

struct doctor_report;

void doctor_check_egress(struct doctor_report *r);
