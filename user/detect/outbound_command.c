/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines that say what their program is for. */
#include <string.h>

#include "base/utf8.h"
#include "detect/outbound_inside.h"

/* Names of programs as their makers call them: a hint, for anybody may name a program anything. */
static const struct {
	const char *name;
	uint32_t bit;
} programs[] = {
	{"aria2c", 0}, /* also a downloader: its arguments tell */
	{"transmission-daemon", COMMAND_BITTORRENT},
	{"transmission-cli", COMMAND_BITTORRENT},
	{"transmission-gtk", COMMAND_BITTORRENT},
	{"transmission-qt", COMMAND_BITTORRENT},
	{"qbittorrent", COMMAND_BITTORRENT},
	{"qbittorrent-nox", COMMAND_BITTORRENT},
	{"rtorrent", COMMAND_BITTORRENT},
	{"deluged", COMMAND_BITTORRENT},
	{"deluge", COMMAND_BITTORRENT},
	{"ctorrent", COMMAND_BITTORRENT},
	{"btpd", COMMAND_BITTORRENT},
	{"ktorrent", COMMAND_BITTORRENT},
	{"webtorrent", COMMAND_BITTORRENT},
	{"peerflix", COMMAND_BITTORRENT},
	{"rain", COMMAND_BITTORRENT},
	{"ipfs", COMMAND_IPFS},
	{"kubo", COMMAND_IPFS},
	{"ipfs-cluster-service", COMMAND_IPFS},
	{"syncthing", COMMAND_SYNCTHING},
	{"bitcoind", COMMAND_CHAIN},
	{"bitcoin-qt", COMMAND_CHAIN},
	{"litecoind", COMMAND_CHAIN},
	{"dogecoind", COMMAND_CHAIN},
	{"zcashd", COMMAND_CHAIN},
	{"monerod", COMMAND_CHAIN},
	{"geth", COMMAND_CHAIN},
	{"erigon", COMMAND_CHAIN},
	{"lighthouse", COMMAND_CHAIN},
	{"amuled", COMMAND_EDONKEY},
	{"amule", COMMAND_EDONKEY},
	{"mlnet", COMMAND_EDONKEY},
	{"gtk-gnutella", COMMAND_GNUTELLA},
	{"xmrig", COMMAND_MINER},
	{"xmr-stak", COMMAND_MINER},
	{"minerd", COMMAND_MINER},
	{"cpuminer", COMMAND_MINER},
	{"cgminer", COMMAND_MINER},
	{"bfgminer", COMMAND_MINER},
	{"ccminer", COMMAND_MINER},
	{"ethminer", COMMAND_MINER},
	{"nbminer", COMMAND_MINER},
	{"t-rex", COMMAND_MINER},
	{"lolMiner", COMMAND_MINER},
	{"nanominer", COMMAND_MINER},
	{"teamredminer", COMMAND_MINER},
	{"srbminer-multi", COMMAND_MINER},
	{"SRBMiner-MULTI", COMMAND_MINER},
	{"wildrig-multi", COMMAND_MINER},
	{"p2pool", COMMAND_MINER},
	{"kinsing", COMMAND_MINER},
	{"kdevtmpfsi", COMMAND_MINER},
	{"tor", COMMAND_TOR},
	{"arti", COMMAND_TOR},
	{"obfs4proxy", COMMAND_TOR},
	{"lyrebird", COMMAND_TOR},
	{"snowflake-client", COMMAND_TOR},
	{"meek-client", COMMAND_TOR},
	{"nmap", COMMAND_SCANNER},
	{"masscan", COMMAND_SCANNER},
	{"zmap", COMMAND_SCANNER},
	{"rustscan", COMMAND_SCANNER},
	{"naabu", COMMAND_SCANNER},
	{"fscan", COMMAND_SCANNER},
	{"pnscan", COMMAND_SCANNER},
	{"unicornscan", COMMAND_SCANNER},
	{"hping3", COMMAND_SCANNER},
};

static bool is_same_letter(char a, char b)
{
	return (a >= 'A' && a <= 'Z' ? a + 'a' - 'A' : a) == b;
}

/* `words` has no capitals. */
static bool begins_with(struct text text, const char *words)
{
	size_t length = strlen(words);

	if (text.length < length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_same_letter(text.data[i], words[i]))
			return false;
	return true;
}

static bool ends_with(struct text text, const char *words)
{
	size_t length = strlen(words);

	return text.length > length && begins_with(text_tail(text, text.length - length), words);
}

static uint32_t read_program(struct text program)
{
	const char *slash = program.length > 0 ? memrchr(program.data, '/', program.length) : NULL;

	if (slash)
		program = text_tail(program, (size_t)(slash - program.data) + 1);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (text_equal(program, text_of(programs[i].name)))
			return programs[i].bit;
	return 0;
}

static uint32_t read_argument(struct text argument)
{
	static const char *const pools[] = {"stratum+", "stratum1+", "stratum2+", "stratum://", "stratums://",
		"--donate-level", "--rig-id", "--nicehash", "--randomx-", "--cpu-max-threads-hint",
		"--coin=", "--algo=rx/", "--algo=randomx", "rx/0"};

	if (begins_with(argument, "magnet:?") || ends_with(argument, ".torrent"))
		return COMMAND_TORRENT;
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		if (begins_with(argument, pools[i]))
			return COMMAND_POOL;
	/* An option and its value in one word. */
	if (begins_with(argument, "-o") && begins_with(text_tail(argument, 2), "stratum+"))
		return COMMAND_POOL;
	return begins_with(argument, "--url=stratum") ? COMMAND_POOL : 0;
}

/* Who only looks at such words does not act by them. */
static bool is_reader(struct text program)
{
	static const char *const readers[] = {"grep", "egrep", "fgrep", "rg", "sed", "awk", "cat", "ls", "cp", "mv",
		"rm", "echo", "printf", "vi", "vim", "less", "strings", "find", "file", "tar", "git", "gcc", "cc1"};
	const char *slash = program.length > 0 ? memrchr(program.data, '/', program.length) : NULL;

	if (slash)
		program = text_tail(program, (size_t)(slash - program.data) + 1);
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (text_equal(program, text_of(readers[i])))
			return true;
	return false;
}

uint32_t outbound_command_read(const struct event_process *process, char sample[P2P_SAMPLE_TEXT])
{
	enum { ARGUMENTS_MAX = 256 };
	struct text rest = process->args, argument;
	uint32_t bits = read_program(process->executable) | read_program(process->name);
	size_t length = 0,
	       kept = process->args.length < P2P_SAMPLE_TEXT - 1 ? process->args.length : P2P_SAMPLE_TEXT - 1;

	for (int i = 0; i < ARGUMENTS_MAX && rest.length > 0; i++) {
		argument = text_next(&rest, '\0');
		if (i == 0)
			bits |= read_program(argument);
		else if (!is_reader(process->executable))
			bits |= read_argument(argument);
	}
	for (; length < kept; length++)
		sample[length] = process->args.data[length] ? process->args.data[length] : ' ';
	while (length > 0 && sample[length - 1] == ' ')
		length--;
	sample[length] = '\0';
	utf8_defuse(sample, length);
	return bits;
}
