# SPDX-License-Identifier: MIT
# smuxshim: everything is built below $(BUILD).  The folders say what is linked with what:
#   core/common                 libcommon.a, part of every program and of the preloaded library
#   core/engine, core/blocking, core/kcp  libsmux.a, libsmux.so
#   shim/launcher, shim/trap    the launcher; the other folders of shim/ are libsmuxshim.so, and
#                               those below its hooks part of the launcher, too
#   helper/*                    libhelper.a, shared by smux-helper, smux-gateway and smuxctl
#   */*.N.scd                   manual pages, each beside its program
# A file NAME_main.c is the program NAME, with - for _.  Each of
#   examples/*.c, tests/unit/test_*.c, tests/fuzz/fuzz_*.c, tests/oracle/*.c, tests/bench/core/*.c
# is a program of its own; tests/interop/*.c, tests/interop/kcp/*.c and
# tests/oracle/conversation/*.c are one each.
BUILD  ?= build
# An absolute folder in this tree is the same as a relative one: the .d files name only one of them.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
CC     ?= cc
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR     ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
DESTDIR ?=
OPT    ?= -O2 -g
# SAN=address,undefined or SAN=thread builds everything under a sanitizer (use another BUILD).  The
# compiler's warnings about code that it has instrumented are not taken for errors.
SAN    ?=
WARN   ?= -Wall -Wextra $(if $(SAN),,-Werror)
# V=1 shows the commands.
V      ?= 0
SANFLAGS := $(if $(SAN),-DSMUX_SANITIZED -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)

# What the compiler adds against errors in memory; -fcf-protection is x86's.
MACHINE := $(shell $(CC) -dumpmachine)
HARDEN  := -fstack-protector-strong -fstack-clash-protection \
    $(if $(filter x86_64-% i386-% i486-% i586-% i686-%,$(MACHINE)),-fcf-protection)
FORTIFY := $(if $(SAN),,$(if $(filter -O2 -O3,$(OPT)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))

CFLAGS_ALL  = -std=gnu11 -fPIC -fvisibility=hidden -D_GNU_SOURCE -I. $(WARN) $(OPT) $(HARDEN) \
    $(SANFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(SANFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS)

VERSION := $(shell sed -n 's/^\#define SMUX_LIBRARY_VERSION "\(.*\)"/\1/p' core/smux.h)
SONAME  := libsmux.so.0

ifeq ($(V),0)
cc_ = @echo "  CC    $@"; $(CC)
ld_ = @echo "  LINK  $@"; $(CC)
ar_ = @echo "  AR    $@"; rm -f $@; $(AR) rcs $@ $^
man_ = @echo "  MAN   $@";
else
cc_ = $(CC)
ld_ = $(CC)
ar_ = rm -f $@; $(AR) rcs $@ $^
endif

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# The folders of each floor, in their order: a file includes headers of its own folder and of those
# before it (tests/structure/house.bats).
COMMON_DIRS   := core/common
SMUX_DIRS     := core/engine core/blocking core/kcp
SHIM_DIRS     := shim/base shim/process shim/socket shim/hooks
# What the preloaded library and the trap have in common; the trap is part of the launcher.
GROUND_DIRS   := shim/base shim/process shim/socket
TRAP_DIRS     := shim/trap
LAUNCHER_DIRS := shim/launcher
HELPER_DIRS   := helper/net helper/metrics helper/carrier helper/relay helper/gateway helper/client helper/ctl

sources = $(foreach dir,$(1),$(sort $(wildcard $(dir)/*.c)))
COMMON_SRC      := $(call sources,$(COMMON_DIRS))
SMUX_SRC        := $(call sources,$(SMUX_DIRS))
SHIM_SRC        := $(call sources,$(SHIM_DIRS))
GROUND_SRC      := $(filter-out %/version_note.c,$(call sources,$(GROUND_DIRS)))
TRAP_SRC        := $(call sources,$(TRAP_DIRS))
LAUNCHER_MAIN_SRC := $(filter %_main.c,$(call sources,$(LAUNCHER_DIRS)))
LAUNCHER_SRC    := $(filter-out %_main.c,$(call sources,$(LAUNCHER_DIRS)))
HELPER_MAIN_SRC := $(filter %_main.c,$(call sources,$(HELPER_DIRS)))
HELPER_SRC      := $(filter-out %_main.c,$(call sources,$(HELPER_DIRS)))
# The daemons' filter of system calls; without libseccomp's header they do without, and say so.
HASH            := \#
SECCOMP         := $(shell echo '$(HASH)include <seccomp.h>' | $(CC) $(CFLAGS) -E -x c - >/dev/null 2>&1 && echo yes)
# The daemons' metrics; the library itself is loaded at run time, by whoever needs it.
MICROHTTPD      := $(shell echo '$(HASH)include <microhttpd.h>' | $(CC) $(CFLAGS) -E -x c - >/dev/null 2>&1 && echo yes)
HELPER_LIBS     := -lcares -ljansson -lssl -lcrypto $(if $(SECCOMP),-lseccomp)

progname = $(BUILD)/$(subst _,-,$(patsubst %_main.c,%,$(notdir $(1))))
SHIM_PROGS   := $(foreach f,$(LAUNCHER_MAIN_SRC),$(call progname,$(f)))
HELPER_PROGS := $(foreach f,$(HELPER_MAIN_SRC),$(call progname,$(f)))
EXAMPLES_SRC := $(wildcard examples/*.c)
# TLS is a header of its own (core/smux_tls.h): an example and tests use it, and no library.
TLS_USERS    := $(BUILD)/examples/echo_tls $(BUILD)/unit/test_blocking_tls
EXAMPLES     := $(patsubst examples/%.c,$(BUILD)/examples/%,$(EXAMPLES_SRC))
UNIT_TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
ORACLE       := $(patsubst tests/oracle/%.c,$(BUILD)/oracle/%,$(wildcard tests/oracle/*.c))
CONVERSATION := $(BUILD)/oracle/conversation
BENCH_CORE   := $(patsubst tests/bench/core/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/core/*.c))
BENCH_PATH   := $(patsubst tests/bench/path/%.c,$(BUILD)/bench-path/%,$(wildcard tests/bench/path/*.c))
INTEROP_SRC  := $(wildcard tests/interop/*.c)
C_PEER       := $(BUILD)/interop/c_peer
# The same over plain connections in place of a session's streams.
PLAIN_PEER   := $(BUILD)/interop/plain_peer
PLAIN_SRC    := $(filter-out %/c_carrier.c,$(INTEROP_SRC)) $(wildcard tests/interop/plain/*.c) \
    $(call sources,core/engine)
KCP_PEER     := $(BUILD)/interop/kcp_peer

FUZZERS      := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

LIBS := $(BUILD)/libsmux.a $(BUILD)/libsmux.so $(BUILD)/libsmuxshim.so

.PHONY: all clean
all: $(LIBS) $(SHIM_PROGS) $(HELPER_PROGS)
	$(if $(SECCOMP),,@echo "  SKIP  the daemons' filter of system calls: no seccomp.h (libseccomp-dev)")
	$(if $(MICROHTTPD),,@echo "  SKIP  the daemons' metrics: no microhttpd.h (libmicrohttpd-dev)")

# For those who link libhelper.a by hand.
.PHONY: helper-libs
helper-libs:
	@echo $(HELPER_LIBS)

$(BUILD)/obj/helper/net/system_calls.o: CFLAGS_ALL += $(if $(SECCOMP),-DSMUX_SECCOMP)
$(BUILD)/obj/helper/metrics/%.o: CFLAGS_ALL += $(if $(MICROHTTPD),-DSMUX_MICROHTTPD)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(cc_) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The preloaded library must not call the checking variants of libc's functions, which are hooks
# themselves: what it shares with the programs is compiled once more for them.
fortified = $(patsubst %.c,$(BUILD)/obj/fortified/%.o,$(1))
$(BUILD)/obj/fortified/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(cc_) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(call fortified,$(COMMON_SRC)) \
$(call obj,$(SMUX_SRC) $(LAUNCHER_MAIN_SRC) $(LAUNCHER_SRC) $(TRAP_SRC) $(HELPER_SRC) $(HELPER_MAIN_SRC)): \
    CFLAGS_ALL += $(FORTIFY)

$(BUILD)/libsmux.a: $(call obj,$(SMUX_SRC))
$(BUILD)/libcommon.a: $(call fortified,$(COMMON_SRC))
$(BUILD)/libcommon_shim.a: $(call obj,$(COMMON_SRC))
$(BUILD)/libhelper.a: $(call obj,$(HELPER_SRC))
$(BUILD)/%.a:
	@mkdir -p $(@D)
	$(ar_)

$(BUILD)/libsmux.so: $(call obj,$(SMUX_SRC)) core/smux.map
	$(ld_) $(LDFLAGS_ALL) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=core/smux.map \
	    -Wl,-z,defs -o $@ $(filter %.o,$^) -lpthread

$(BUILD)/libsmuxshim.so: $(call obj,$(SHIM_SRC)) $(BUILD)/libcommon_shim.a shim/shim.map
	$(ld_) $(LDFLAGS_ALL) -shared -Wl,--version-script=shim/shim.map -Wl,--exclude-libs,ALL \
	    -o $@ $(filter %.o %.a,$^)

# A launcher beside ../lib finds the preload library by itself; this is where to look otherwise.
$(call obj,$(LAUNCHER_MAIN_SRC) $(LAUNCHER_SRC)): CFLAGS_ALL += -DSMUXSHIM_LIBDIR='"$(LIBDIR)"' \
    -DSMUXSHIM_VERSION='"$(VERSION)"'
$(BUILD)/obj/shim/base/version_note.o: CFLAGS_ALL += -DSMUXSHIM_VERSION='"$(VERSION)"'

define shim_prog
$(call progname,$(1)): $(call obj,$(1) $(LAUNCHER_SRC) $(TRAP_SRC) $(GROUND_SRC)) $(BUILD)/libcommon.a
	$$(ld_) $$(LDFLAGS_ALL) -o $$@ $$^ -lpthread
endef
$(foreach f,$(LAUNCHER_MAIN_SRC),$(eval $(call shim_prog,$(f))))

define helper_prog
$(call progname,$(1)): $(call obj,$(1)) $(BUILD)/libhelper.a $(BUILD)/libcommon.a $(BUILD)/libsmux.a
	$$(ld_) $$(LDFLAGS_ALL) -o $$@ $$^ $$(HELPER_LIBS)
endef
$(foreach f,$(HELPER_MAIN_SRC),$(eval $(call helper_prog,$(f))))

# Examples include <smux.h> as a program outside this tree would.
$(call obj,$(EXAMPLES_SRC)): CFLAGS_ALL += -Icore

$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libsmux.a
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_TLS) -lpthread

$(UNIT_TESTS): $(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libhelper.a \
    $(BUILD)/libcommon.a $(BUILD)/libsmux.a
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LDLIBS_TLS) $(HELPER_LIBS) -lpthread

$(TLS_USERS): LDLIBS_TLS := -lssl -lcrypto

$(ORACLE): $(BUILD)/oracle/%: $(BUILD)/obj/tests/oracle/%.o $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ -lpthread

$(BUILD)/oracle/plain_peer: $(BUILD)/libsmux.a

$(CONVERSATION): $(call obj,$(wildcard tests/oracle/conversation/*.c))
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ -lpthread

$(BENCH_CORE): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/core/%.o $(BUILD)/libsmux.a
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ -lpthread

$(C_PEER): $(call obj,$(INTEROP_SRC)) $(BUILD)/libsmux.a
$(PLAIN_PEER): $(call obj,$(PLAIN_SRC))
$(KCP_PEER): $(call obj,$(wildcard tests/interop/kcp/*.c)) $(BUILD)/libsmux.a
$(C_PEER) $(PLAIN_PEER) $(KCP_PEER):
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $^ -lpthread

.PHONY: examples unit-build oracle interop bench-core-build
# Without OpenSSL's headers the other examples are built.
examples:
	@if echo '#include <openssl/ssl.h>' | $(CC) $(CFLAGS) -E - >/dev/null 2>&1; then \
	    $(MAKE) --no-print-directory $(EXAMPLES); \
	else \
	    echo "  SKIP  $(BUILD)/examples/echo_tls: no openssl/ssl.h (libssl-dev)"; \
	    $(MAKE) --no-print-directory $(filter-out $(TLS_USERS),$(EXAMPLES)); \
	fi
interop: $(C_PEER) $(PLAIN_PEER) $(KCP_PEER)
oracle: $(ORACLE) $(CONVERSATION)
unit-build: $(UNIT_TESTS)
bench-core-build: $(BENCH_CORE)

# Fuzzers are built by clang in a build of their own, so that the engine is instrumented too.
.PHONY: fuzz fuzz-programs
fuzz:
	$(MAKE) BUILD=$(BUILD)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined OPT="-O1 -g" \
	    fuzz-programs
fuzz-programs: $(FUZZERS)
$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libhelper.a \
    $(BUILD)/libcommon.a $(BUILD)/libsmux.a
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(HELPER_LIBS) -lpthread

# A preload library for 32-bit programs as well (needs gcc -m32).  Installed in LIBDIR32 if that is
# given; the launcher names both by one path with $LIB in it, when they are where the loaders' $LIB
# points (`ld.so --list-diagnostics` says so as dl_dst_lib): on Debian in PREFIX/lib/x86_64-linux-gnu
# and, after the kind of 32-bit libc, PREFIX/lib/i386-linux-gnu or PREFIX/lib32.
LIBDIR32 ?=
.PHONY: shim32
shim32:
	$(MAKE) BUILD=$(BUILD)/32 CC="$(CC) -m32" CFLAGS="$(CFLAGS) -Wno-psabi" $(BUILD)/32/libsmuxshim.so

# ---- Manual pages ------------------------------------------------------------------------------

SCDOC   ?= scdoc
MAN_SRC := $(wildcard core/*/*.scd shim/*/*.scd helper/*/*.scd)
MAN     := $(patsubst %.scd,$(BUILD)/man/%,$(notdir $(MAN_SRC)))
vpath %.scd $(sort $(dir $(MAN_SRC)))

# scdoc begins paragraphs (.P, .PP since 1.11.3) that stay empty, which mandoc -T lint objects to, and ends lists with an
# empty line.  Hyphens become those that can be copied into a shell.
define MAN_TIDY
/^\.PP?$$/ { paragraph = 1; next }
/^\.nf$$/, /^\.fi$$/ { literal = 1 }
/^\.fi$$/ { literal = 0 }
/^$$/ && !literal { next }
/^\.RE$$/ { print; next }
/^\.(TH|SH|SS)/ { print; paragraph = 0; heading = 1; next }
{ if (paragraph && !heading) print ".P"; paragraph = heading = 0 }
!/^\./ && !/^.h'/ { gsub(/-/, "\\-") }
{ print }
endef
export MAN_TIDY

.PHONY: man
man: $(MAN)
$(BUILD)/man/%: %.scd Makefile core/smux.h
	@mkdir -p $(@D)
	$(man_)sed 's/@VERSION@/$(VERSION)/' $< | $(SCDOC) >$@.scdoc && \
	    awk "$$MAN_TIDY" $@.scdoc >$@ && rm $@.scdoc

# ---- Completion: from the programs' tables of options, which their --help prints -----------------

PROGS := $(strip $(SHIM_PROGS) $(HELPER_PROGS))
COMPLETION_BASH := $(patsubst $(BUILD)/%,$(BUILD)/completion/bash/%,$(PROGS))
COMPLETION_ZSH  := $(patsubst $(BUILD)/%,$(BUILD)/completion/zsh/_%,$(PROGS))
COMPLETION_FISH := $(patsubst $(BUILD)/%,$(BUILD)/completion/fish/%.fish,$(PROGS))
define completion_
	@mkdir -p $(@D)
	@echo "  GEN   $@"; help=$$($< --help) && \
	    echo "$$help" | awk -v program=$(<F) -v shell=$(1) -f core/common/completion.awk >$@.new && mv $@.new $@
endef

.PHONY: completion
completion: $(COMPLETION_BASH) $(COMPLETION_ZSH) $(COMPLETION_FISH)
$(COMPLETION_BASH): $(BUILD)/completion/bash/%: $(BUILD)/% core/common/completion.awk
	$(call completion_,bash)
$(COMPLETION_ZSH): $(BUILD)/completion/zsh/_%: $(BUILD)/% core/common/completion.awk
	$(call completion_,zsh)
$(COMPLETION_FISH): $(BUILD)/completion/fish/%.fish: $(BUILD)/% core/common/completion.awk
	$(call completion_,fish)

# ---- Tests: what each suite is, is said in tests/run/suites and .ci/suites ----------------------

# make check SUITES="unit e2e" runs some of them.
.PHONY: check demo format
check:
	BUILD=$(BUILD) tests/run/check $(SUITES)
demo:
	BUILD=$(BUILD) tests/demo/run
format:
	clang-format -i $$(git ls-files --cached --others --exclude-standard '*.c' '*.h')

# Every compiler we promise.  musl-gcc builds libsmux, its examples, the preloaded library and the
# launcher; the helper's libraries are there for glibc only.  musl-gcc finds no kernel headers.
MUSL := $(BUILD)/musl
KERNEL_HEADERS := /usr/include/linux /usr/include/asm-generic \
    $(firstword $(wildcard /usr/include/$(shell uname -m)-linux-gnu/asm /usr/include/asm))

.PHONY: check-compilers musl
check-compilers: musl
	$(MAKE) BUILD=$(BUILD)/gcc CC=gcc all examples
	$(MAKE) BUILD=$(BUILD)/clang CC=clang all examples
musl:
	mkdir -p $(MUSL)/include
	ln -sfn -t $(MUSL)/include $(KERNEL_HEADERS)
	$(MAKE) BUILD=$(MUSL) CC=musl-gcc CFLAGS="-idirafter $(MUSL)/include" \
	    $(MUSL)/libsmux.a $(MUSL)/libsmux.so $(MUSL)/libsmuxshim.so $(MUSL)/smuxshim examples

# ---- Benchmarks: tests/bench/README.md ----------------------------------------------------------

# make bench BENCH="--short --only iperf" passes options on.
.PHONY: bench bench-path
bench:
	BUILD=$(BUILD) tests/bench/run $(BENCH)
.PHONY: bench-core
bench-core:
	BUILD=$(BUILD) tests/bench/core/run $(BENCH)
bench-path: $(BENCH_PATH)
$(BENCH_PATH): $(BUILD)/bench-path/%: $(BUILD)/obj/tests/bench/path/%.o
	@mkdir -p $(@D)
	$(ld_) $(LDFLAGS_ALL) -o $@ $< -lpthread

# ---- Installation ------------------------------------------------------------------------------

D_BIN := $(DESTDIR)$(BINDIR)
D_LIB := $(DESTDIR)$(LIBDIR)
D_INC := $(DESTDIR)$(INCLUDEDIR)
HEADERS := $(addprefix core/,kcp.h smux.h smux_blocking.h smux_config.h smux_tls.h)
PC_FILES := $(BUILD)/smux.pc $(BUILD)/smux-tls.pc
SO_FILE := libsmux.so.$(VERSION)
# Where scdoc is missing what is installed are the pages that are built already, if there are any.
HAVE_SCDOC := $(shell command -v $(firstword $(SCDOC)))
MAN_READY   = $(if $(HAVE_SCDOC),$(MAN),$(wildcard $(MAN)))
installed_page = $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))

.PHONY: $(PC_FILES)
$(PC_FILES): $(BUILD)/%.pc: core/%.pc.in
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' $< >$@

# What a service manager reads: what is installed, and where.
SERVICE_FILES := \
    helper/gateway/smux-gateway.service.in:$(UNITDIR)/smux-gateway.service \
    helper/client/smux-helper.service.in:$(UNITDIR)/smux-helper.service \
    helper/client/smux-helper.socket:$(UNITDIR)/smux-helper.socket \
    helper/client/smux-helper-user.service.in:$(USERUNITDIR)/smux-helper.service \
    helper/client/smux-helper-user.socket:$(USERUNITDIR)/smux-helper.socket \
    helper/client/smuxshim.sysusers:$(SYSUSERSDIR)/smuxshim.conf \
    helper/client/smuxshim.tmpfiles:$(TMPFILESDIR)/smuxshim.conf
left_of  = $(firstword $(subst :, ,$(1)))
right_of = $(DESTDIR)$(lastword $(subst :, ,$(1)))
define install_service_file
	@install -d $(dir $(call right_of,$(1)))
	sed 's|@BINDIR@|$(BINDIR)|' $(call left_of,$(1)) >$(call right_of,$(1))
	@chmod 644 $(call right_of,$(1))

endef

.PHONY: install uninstall
install: all completion $(PC_FILES) $(if $(HAVE_SCDOC),man) $(if $(LIBDIR32),shim32)
	install -d $(D_BIN) $(D_LIB)/pkgconfig $(D_INC)
	install -m 644 $(HEADERS) $(D_INC)
	install -m 644 $(BUILD)/libsmux.a $(D_LIB)
	install -m 755 $(BUILD)/libsmux.so $(D_LIB)/$(SO_FILE)
	ln -sf $(SO_FILE) $(D_LIB)/$(SONAME)
	ln -sf $(SONAME) $(D_LIB)/libsmux.so
	install -m 644 $(PC_FILES) $(D_LIB)/pkgconfig
	install -m 755 $(BUILD)/libsmuxshim.so $(D_LIB)
	$(if $(LIBDIR32),install -D -m 755 $(BUILD)/32/libsmuxshim.so $(DESTDIR)$(LIBDIR32)/libsmuxshim.so)
	$(if $(PROGS),install -m 755 $(PROGS) $(D_BIN))
	install -d $(DESTDIR)$(BASHCOMPDIR) $(DESTDIR)$(ZSHCOMPDIR) $(DESTDIR)$(FISHCOMPDIR)
	install -m 644 $(COMPLETION_BASH) $(DESTDIR)$(BASHCOMPDIR)
	install -m 644 $(COMPLETION_ZSH) $(DESTDIR)$(ZSHCOMPDIR)
	install -m 644 $(COMPLETION_FISH) $(DESTDIR)$(FISHCOMPDIR)
	$(foreach file,$(SERVICE_FILES),$(call install_service_file,$(file)))
	$(foreach page,$(MAN_READY),install -D -m 644 $(page) $(call installed_page,$(page)) &&) true
	$(if $(HAVE_SCDOC),,@echo "  SKIP  manual pages: no $(SCDOC) to build them")

uninstall:
	rm -f $(foreach page,$(MAN),$(call installed_page,$(page)))
	rm -f $(addprefix $(D_INC)/,$(notdir $(HEADERS)))
	rm -f $(addprefix $(D_LIB)/,libsmux.a libsmux.so $(SONAME) $(SO_FILE))
	rm -f $(addprefix $(D_LIB)/pkgconfig/,$(notdir $(PC_FILES)))
	rm -f $(if $(LIBDIR32),$(DESTDIR)$(LIBDIR32)/libsmuxshim.so)
	rm -f $(addprefix $(DESTDIR)$(BASHCOMPDIR)/,$(notdir $(COMPLETION_BASH)))
	rm -f $(addprefix $(DESTDIR)$(ZSHCOMPDIR)/,$(notdir $(COMPLETION_ZSH)))
	rm -f $(addprefix $(DESTDIR)$(FISHCOMPDIR)/,$(notdir $(COMPLETION_FISH)))
	rm -f $(foreach file,$(SERVICE_FILES),$(call right_of,$(file)))
	rm -f $(D_LIB)/libsmuxshim.so $(addprefix $(D_BIN)/,$(notdir $(PROGS)))

# ---- Debian packages: examples/debian -----------------------------------------------------------

.PHONY: deb
deb:
	examples/debian/build $(BUILD)/deb

clean:
	rm -rf $(BUILD)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
