/* SPDX-License-Identifier: Apache-2.0 */
/* Rules over several events: keys of our own, which Falco passes over. */
#ifndef TAFFRAIL_DETECT_WINDOW_H
#define TAFFRAIL_DETECT_WINDOW_H

#include "detect/document.h"

struct window {
	bool present;
};

struct windows;

#endif
