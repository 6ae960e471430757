/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP request: what is refused stays refused however much more comes, what is taken is within the bytes. */
#include "fuzz.h"

#include "http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *copy = malloc(length ? length : 1);
	struct http_request request = {0}, again = {0};
	int status, status_again;

	fuzz_expect(copy);
	if (length)
		memcpy(copy, bytes, length);
	status = http_request_read(&request, (struct text){copy, length});
	fuzz_expect(status == 0 || status == 200 || (status >= 400 && status <= 505));
	if (status == 0)
		fuzz_expect(length <= HTTP_HEAD_MAX);
	if (status == 200) {
		fuzz_expect(request.path.length > 0 && request.path.data[0] == '/');
		fuzz_expect(request.path.data >= copy && request.path.data + request.path.length <= copy + length);
		fuzz_expect(!memchr(request.path.data, '\n', request.path.length));
	}
	/* Byte by byte it is the same: the first length that is decided decides. */
	for (size_t i = 0; i <= length; i++) {
		status_again = http_request_read(&again, (struct text){copy, i});
		if (status_again)
			break;
	}
	if (length <= HTTP_HEAD_MAX)
		fuzz_expect(status == status_again);
	free(copy);
	return 0;
}
