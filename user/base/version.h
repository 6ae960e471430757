/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TAFFRAIL_VERSION_H
#define TAFFRAIL_VERSION_H

#define TAFFRAIL_VERSION "0.1.0"

#endif
