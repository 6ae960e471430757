# SPDX-License-Identifier: Apache-2.0
#
#   make            the three programs, in build/bin
#   make ARCH=arm64 the same for arm64, with Debian's cross compiler, in build/arm64/bin
#   make test       all tests (root; TESTS="unit kernel" selects; SAN=1: with ASan and UBSan, in build/san)
#   make test-kernels   the kernel tests in guests of other kernels (KERNELS="5.10 sid" MODES=tracepoint select)
#   make test-cluster   on a real single-node Kubernetes, which is built first: ten minutes (root; Go 1.24 or newer)
#   make run        a demonstration (root; RUN_SECONDS=N ends it by itself)
#   make format     rewrite the sources in the project's format
#   make lint       clang-format, clang-tidy, cppcheck and the project's own checks; changes nothing
#   make deps       install the Debian packages that all this needs (once)
#   make bench      what the sensor adds to system calls (root)
#   make fuzzers    the fuzz targets, in build/fuzz/bin
#   make deb        a Debian package for single machines, in build/deb
#   make images     the container images of sensor and collector, as OCI archives in build/images (ARCH=arm64: build/arm64/images)
#
# A room is a folder of user/; its .c files are found, so a new file needs no line here. main.c is a program's own.

MACHINE := $(shell uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
ARCH := $(MACHINE)
CROSS := $(filter-out $(MACHINE),$(ARCH))
B := build$(if $(CROSS),/$(CROSS))$(if $(SAN),/san)$(if $(FUZZ),/fuzz)
CC := $(if $(FUZZ),clang,gcc)
ifneq ($(CROSS),)
$(if $(filter-out arm64,$(CROSS)),$(error there is no cross build for $(CROSS): arm64 alone))
# The libraries are Debian's for that machine, unpacked into a folder of the build.
SYSROOT := build/$(CROSS)/sysroot
STRIP := aarch64-linux-gnu-strip
CC := aarch64-linux-gnu-gcc --sysroot=$(CURDIR)/$(SYSROOT)
export PKG_CONFIG_SYSROOT_DIR := $(CURDIR)/$(SYSROOT)
export PKG_CONFIG_LIBDIR := $(CURDIR)/$(SYSROOT)/usr/lib/aarch64-linux-gnu/pkgconfig
$(if $(wildcard $(SYSROOT)/var/lib/dpkg/status),,$(shell scripts/sysroot.sh $(CROSS) $(SYSROOT) >&2))
endif
STRIP ?= strip
CLANG := clang
comma := ,
BPFTOOL := /usr/sbin/bpftool

PACKAGES := libbpf libelf zlib libprotobuf-c libnghttp2 libevent libevent_openssl libevent_pthreads openssl libzstd sqlite3 yaml-0.1 json-c libpcre2-8 libpcap
# A checkout in another folder gives the same programs.
ANYWHERE := -ffile-prefix-map=$(CURDIR)=.
CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror=implicit-function-declaration \
	-fstack-protector-strong -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -I. -I$(B) -I$(B)/proto -Iuser -MMD -MP $(ANYWHERE)
LDFLAGS := -pthread -Wl,--as-needed
ifneq ($(SAN)$(FUZZ),)
SANITIZE := -fsanitize=address,undefined$(if $(FUZZ),$(comma)fuzzer-no-link) -fno-sanitize-recover=undefined
CFLAGS += -O1 -U_FORTIFY_SOURCE $(SANITIZE) -fno-omit-frame-pointer
LDFLAGS += $(SANITIZE)
endif
LDLIBS = $(shell pkg-config --libs $(PACKAGES))

# Says what is missing before a compiler does, in words that help.
ifneq ($(filter-out clean deps test test-kernels test-cluster run format lint,$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell for tool in $(firstword $(CC)) $(CLANG) $(BPFTOOL) protoc-c pkg-config; do command -v $$tool >/dev/null || echo $$tool; done; \
	for package in $(PACKAGES); do pkg-config --exists $$package 2>/dev/null || echo $$package; done)
$(if $(strip $(MISSING)),$(error not installed: $(strip $(MISSING)). Run: sudo make deps$(if $(CROSS), ARCH=$(CROSS))))
endif

all: $(B)/bin/taffrail-sensor $(B)/bin/taffrail-collector $(B)/bin/taffrail

# --- generated: protobuf and the BPF skeleton -----------------------------------------------------------------------
PROTOS := $(wildcard proto/*/*.proto proto/*/*/*.proto)
PROTO_C := $(PROTOS:%.proto=$(B)/%.pb-c.c)
PROTO_O := $(PROTO_C:.c=.o)
PROTO_H := $(PROTO_C:.c=.h)

$(B)/%.pb-c.c $(B)/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	protoc-c -Iproto --c_out=$(B)/proto $<

$(PROTO_O): CFLAGS := $(filter-out -Wpedantic -Wshadow -Wextra,$(CFLAGS))
$(PROTO_O): | $(PROTO_H)
$(B)/%.pb-c.o: $(B)/%.pb-c.c
	$(CC) $(CFLAGS) -c $< -o $@

BPF_ARCH := $(ARCH:amd64=x86)
# The include path of the architecture's headers (asm/types.h) is not clang's own for a bpf target.
BPF_CFLAGS := -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -I. $(ANYWHERE) \
	-idirafter $(SYSROOT)/usr/include/$(shell $(CC) -print-multiarch)
BPF_C := $(sort $(wildcard bpf/*.bpf.c))
SKELETON := $(B)/bpf/taffrail.skel.h $(B)/bpf/taffrail_classic.skel.h

# All rooms are compiled as one: bpftool 7.1 cannot link two objects that call the same function of the kernel's.
$(B)/bpf/taffrail.bpf.c: $(BPF_C)
	@mkdir -p $(@D)
	printf '#include "%s"\n' $(BPF_C) >$@

# The classic object is of the same sources, for kernels before 5.17, which refuse what the modern one has even where it is
# never reached.
$(B)/bpf/taffrail_classic.o: BPF_CFLAGS += -DTAFFRAIL_CLASSIC
$(B)/bpf/taffrail.o $(B)/bpf/taffrail_classic.o: $(B)/bpf/taffrail.bpf.c $(BPF_C) $(wildcard bpf/*.h)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $(@:.o=.c.o)
	$(BPFTOOL) gen object $@ $(@:.o=.c.o)
	scripts/check-stack.py $@

$(SKELETON): $(B)/bpf/%.skel.h: $(B)/bpf/%.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.new && mv $@.new $@

# Written anew only where the commit is another one: else nothing that is built of it is.
$(B)/commit.h: FORCE
	scripts/commit.sh $@
FORCE:
$(B)/user/base/version.o: $(B)/commit.h

# --- rooms and programs ----------------------------------------------------------------------------------------------
objects = $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(foreach room,$(1),$(wildcard user/$(room)/*.c user/$(room)/*/*.c))))
SHARED_O := $(call objects,base event grpc http detect)
SENSOR_O := $(call objects,sensor) $(B)/pack.o
COLLECTOR_O := $(call objects,collector)
CLI_O := $(call objects,cli)

$(B)/user/%.o: user/%.c | $(PROTO_H)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@
$(SENSOR_O) $(B)/user/sensor/main.o: | $(SKELETON)

# The sensor's own rules are in it.
PACK := $(sort $(wildcard deploy/rules/*.yaml))
$(B)/pack.c: scripts/pack-rules.sh $(PACK)
	@mkdir -p $(@D)
	scripts/pack-rules.sh $(PACK) >$@
$(B)/pack.o: $(B)/pack.c
	$(CC) $(CFLAGS) -c $< -o $@

$(B)/bin/taffrail-sensor: $(B)/user/sensor/main.o $(SENSOR_O) $(SHARED_O) $(PROTO_O)
$(B)/bin/taffrail-collector: $(B)/user/collector/main.o $(COLLECTOR_O) $(SHARED_O) $(PROTO_O)
# Of the collector: its store, to be looked at.
STORE_O := $(patsubst %,$(B)/user/collector/%.o,account account_wire field segment store store_id store_load store_source store_epochs store_forget host_text)
$(B)/bin/taffrail: $(B)/user/cli/main.o $(CLI_O) $(STORE_O) $(SHARED_O) $(PROTO_O)
$(B)/bin/%:
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(filter %.o,$^) -o $@ $(LDLIBS)

# --- images ----------------------------------------------------------------------------------------------------------
# Not by files: the labels name the commit, whichever files it changes.
images: all
	scripts/deps.sh images
	/usr/bin/python3 -B scripts/images.py --arch $(ARCH) --root $(or $(SYSROOT),/) --strip $(STRIP) --bin $(B)/bin --out $(B)/images

deb: all
	$(if $(CROSS),$(error the package is made on the machine that it is for: its manual pages are what the programs say))
	scripts/deps.sh images
	scripts/deb.sh $(B)/bin $(B)/deb

# --- tests -----------------------------------------------------------------------------------------------------------
TEST_O = $(patsubst %.c,$(B)/%.o,$(wildcard tests/$(1)/*.c))
$(B)/tests/%.o: tests/%.c | $(PROTO_H) $(SKELETON)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@
$(B)/bin/test-unit: $(call TEST_O,unit) $(SENSOR_O) $(COLLECTOR_O) $(CLI_O) $(SHARED_O) $(PROTO_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(filter %.o,$^) -o $@ $(LDLIBS) -lcriterion
$(B)/bin/test-kernel: $(call TEST_O,kernel) $(SHARED_O) $(PROTO_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(filter %.o,$^) -o $@ $(LDLIBS) -lcriterion

# The workload opens no libraries: all its opens are those that it writes down.
$(B)/bin/chaos-work: $(B)/tests/chaos/work.o
	@mkdir -p $(@D)
	$(CC) -static $^ -o $@
$(B)/bin/chaos-disk: $(B)/tests/chaos/disk.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -o $@ $(shell pkg-config --libs fuse3)

$(B)/bin/bench-calls: $(B)/tests/bench/bench_calls.o
# Linked statically: a program that opens no libraries, so that all opens of a flood are those that it counts.
$(B)/bin/bench-load: $(B)/tests/bench/bench_load.o
	@mkdir -p $(@D)
	$(CC) -static $^ -o $@
$(B)/bin/bench-read: $(B)/tests/bench/bench_read.o
# FALCO_RULES: files to measure with, beside the rules that the bench makes.
$(B)/bin/bench-rules: $(B)/tests/bench/bench_rules.o $(SHARED_O) $(PROTO_O)
$(B)/bin/bench-outbound: $(B)/tests/bench/bench_outbound.o $(SHARED_O) $(PROTO_O)
$(B)/bin/bench-spool: $(B)/tests/bench/bench_spool.o $(B)/user/sensor/backlog.o $(B)/user/sensor/evict.o $(B)/user/sensor/former.o $(B)/user/sensor/ledger.o $(B)/user/sensor/stores.o $(B)/user/sensor/spool.o \
	$(patsubst %,$(B)/user/sensor/spool%.o,_format _load _read _room) $(SHARED_O) $(PROTO_O)
# Sensors that are simulated; a test of the contract has them, too.
$(B)/bin/bench-sensors: $(patsubst %,$(B)/tests/bench/%.o,bench_sensors sensors sensors_batch) $(SHARED_O) $(PROTO_O)
$(B)/bin/bench-wire: $(B)/tests/bench/bench_wire.o $(B)/user/collector/segment.o $(SHARED_O) $(PROTO_O)
bench: all $(foreach part,calls load read pipeline rules outbound spool sensors wire,$(B)/bin/bench-$(part))
	tests/bench/calls.py
	tests/bench/live.py
	$(B)/bin/bench-pipeline
	$(B)/bin/bench-rules $(FALCO_RULES)
	$(B)/bin/bench-outbound
	$(B)/bin/bench-spool
	tests/bench/memory.py
	tests/bench/wire.py
	tests/bench/crowd.py

# The sensor's own allocations are counted, and its batches acknowledged, by the bench.
$(B)/bin/bench-pipeline: $(B)/tests/bench/bench_pipeline.o $(SENSOR_O) $(SHARED_O) $(PROTO_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(foreach name,malloc calloc realloc stream_send stream_room stream_idle,-Wl$(comma)--wrap=$(name)) $(filter %.o,$^) -o $@ $(LDLIBS)

# All rooms go into every target: it is the seam of its own that each one calls.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/bin/%,$(wildcard tests/fuzz/fuzz_*.c))
ifdef FUZZ
fuzzers: $(FUZZERS)
else
fuzzers:
	$(MAKE) FUZZ=1 fuzzers
endif
# Static: as a plain pattern it loses to bin/%, which needs no file that is not there yet.
$(FUZZERS): $(B)/bin/%: $(B)/tests/fuzz/%.o $(SENSOR_O) $(COLLECTOR_O) $(CLI_O) $(SHARED_O) $(PROTO_O)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer $(filter %.o,$^) -o $@ $(LDLIBS)

generated: $(PROTO_H) $(SKELETON) $(B)/commit.h

# What clang-tidy and cppcheck are given: the flags without those that write files.
flags:
	@echo $(filter-out -MMD -MP,$(CFLAGS))
bpf-flags:
	@echo $(BPF_CFLAGS)

test:
	SAN=$(SAN) scripts/test.sh $(TESTS)
test-kernels:
	scripts/test-kernels.sh $(KERNELS) $(MODES:%=--mode %)
test-cluster:
	scripts/test.sh cluster
run:
	scripts/run.sh
deps:
	scripts/deps.sh $(if $(CROSS),build test $(CROSS))
format:
	scripts/lint.sh format
lint:
	scripts/lint.sh check
clean:
	rm -rf build

-include $(shell find $(B)/user $(B)/tests $(B)/proto -name '*.d' 2>/dev/null)
.PHONY: FORCE all bench fuzzers generated images deb flags bpf-flags test test-kernels test-cluster run deps format lint clean
.DELETE_ON_ERROR:
.SECONDARY:
