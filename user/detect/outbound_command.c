/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines that say what their program is for. */
#include <string.h>

#include "base/utf8.h"
#include "detect/outbound_inside.h"

/*
 * Names of programs as their makers call them: a hint, for anybody may name a program anything. Not aria2c, which downloads other
 * things, too: its arguments tell.
 */
static const struct {
	struct text name;
	uint32_t bit;
} programs[] = {
	{TEXT_STATIC("transmission-daemon"), COMMAND_BITTORRENT},
	{TEXT_STATIC("transmission-cli"), COMMAND_BITTORRENT},
	{TEXT_STATIC("transmission-gtk"), COMMAND_BITTORRENT},
	{TEXT_STATIC("transmission-qt"), COMMAND_BITTORRENT},
	{TEXT_STATIC("qbittorrent"), COMMAND_BITTORRENT},
	{TEXT_STATIC("qbittorrent-nox"), COMMAND_BITTORRENT},
	{TEXT_STATIC("rtorrent"), COMMAND_BITTORRENT},
	{TEXT_STATIC("deluged"), COMMAND_BITTORRENT},
	{TEXT_STATIC("deluge"), COMMAND_BITTORRENT},
	{TEXT_STATIC("ctorrent"), COMMAND_BITTORRENT},
	{TEXT_STATIC("btpd"), COMMAND_BITTORRENT},
	{TEXT_STATIC("ktorrent"), COMMAND_BITTORRENT},
	{TEXT_STATIC("webtorrent"), COMMAND_BITTORRENT},
	{TEXT_STATIC("peerflix"), COMMAND_BITTORRENT},
	{TEXT_STATIC("rain"), COMMAND_BITTORRENT},
	{TEXT_STATIC("ipfs"), COMMAND_IPFS},
	{TEXT_STATIC("kubo"), COMMAND_IPFS},
	{TEXT_STATIC("ipfs-cluster-service"), COMMAND_IPFS},
	{TEXT_STATIC("syncthing"), COMMAND_SYNCTHING},
	{TEXT_STATIC("bitcoind"), COMMAND_CHAIN},
	{TEXT_STATIC("bitcoin-qt"), COMMAND_CHAIN},
	{TEXT_STATIC("litecoind"), COMMAND_CHAIN},
	{TEXT_STATIC("dogecoind"), COMMAND_CHAIN},
	{TEXT_STATIC("zcashd"), COMMAND_CHAIN},
	{TEXT_STATIC("monerod"), COMMAND_CHAIN},
	{TEXT_STATIC("geth"), COMMAND_CHAIN},
	{TEXT_STATIC("erigon"), COMMAND_CHAIN},
	{TEXT_STATIC("lighthouse"), COMMAND_CHAIN},
	{TEXT_STATIC("amuled"), COMMAND_EDONKEY},
	{TEXT_STATIC("amule"), COMMAND_EDONKEY},
	{TEXT_STATIC("mlnet"), COMMAND_EDONKEY},
	{TEXT_STATIC("gtk-gnutella"), COMMAND_GNUTELLA},
	{TEXT_STATIC("xmrig"), COMMAND_MINER},
	{TEXT_STATIC("xmr-stak"), COMMAND_MINER},
	{TEXT_STATIC("minerd"), COMMAND_MINER},
	{TEXT_STATIC("cpuminer"), COMMAND_MINER},
	{TEXT_STATIC("cgminer"), COMMAND_MINER},
	{TEXT_STATIC("bfgminer"), COMMAND_MINER},
	{TEXT_STATIC("ccminer"), COMMAND_MINER},
	{TEXT_STATIC("ethminer"), COMMAND_MINER},
	{TEXT_STATIC("nbminer"), COMMAND_MINER},
	{TEXT_STATIC("t-rex"), COMMAND_MINER},
	{TEXT_STATIC("lolMiner"), COMMAND_MINER},
	{TEXT_STATIC("nanominer"), COMMAND_MINER},
	{TEXT_STATIC("teamredminer"), COMMAND_MINER},
	{TEXT_STATIC("srbminer-multi"), COMMAND_MINER},
	{TEXT_STATIC("SRBMiner-MULTI"), COMMAND_MINER},
	{TEXT_STATIC("wildrig-multi"), COMMAND_MINER},
	{TEXT_STATIC("p2pool"), COMMAND_MINER},
	{TEXT_STATIC("kinsing"), COMMAND_MINER},
	{TEXT_STATIC("kdevtmpfsi"), COMMAND_MINER},
	{TEXT_STATIC("tor"), COMMAND_TOR},
	{TEXT_STATIC("arti"), COMMAND_TOR},
	{TEXT_STATIC("obfs4proxy"), COMMAND_TOR},
	{TEXT_STATIC("lyrebird"), COMMAND_TOR},
	{TEXT_STATIC("snowflake-client"), COMMAND_TOR},
	{TEXT_STATIC("meek-client"), COMMAND_TOR},
	{TEXT_STATIC("nmap"), COMMAND_SCANNER},
	{TEXT_STATIC("masscan"), COMMAND_SCANNER},
	{TEXT_STATIC("zmap"), COMMAND_SCANNER},
	{TEXT_STATIC("rustscan"), COMMAND_SCANNER},
	{TEXT_STATIC("naabu"), COMMAND_SCANNER},
	{TEXT_STATIC("fscan"), COMMAND_SCANNER},
	{TEXT_STATIC("pnscan"), COMMAND_SCANNER},
	{TEXT_STATIC("unicornscan"), COMMAND_SCANNER},
	{TEXT_STATIC("hping3"), COMMAND_SCANNER},
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
	if (program.length == 0)
		return 0;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (program.length == programs[i].name.length && program.data[0] == programs[i].name.data[0] &&
			text_equal(program, programs[i].name))
			return programs[i].bit;
	return 0;
}

static uint32_t read_argument(struct text argument)
{
	static const char *const pools[] = {"stratum+", "stratum1+", "stratum2+", "stratum://", "stratums://",
		"--donate-level", "--rig-id", "--nicehash", "--randomx-", "--cpu-max-threads-hint",
		"--coin=", "--algo=rx/", "--algo=randomx", "rx/0"};

	/* Most arguments are none of these by their first letter. */
	if (argument.length < 4)
		return 0;
	if (begins_with(argument, "magnet:?") || ends_with(argument, ".torrent"))
		return COMMAND_TORRENT;
	if (!strchr("-sSrR", argument.data[0]))
		return 0;
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
	static const struct text readers[] = {TEXT_STATIC("grep"), TEXT_STATIC("egrep"), TEXT_STATIC("fgrep"),
		TEXT_STATIC("rg"), TEXT_STATIC("sed"), TEXT_STATIC("awk"), TEXT_STATIC("cat"), TEXT_STATIC("ls"),
		TEXT_STATIC("cp"), TEXT_STATIC("mv"), TEXT_STATIC("rm"), TEXT_STATIC("echo"), TEXT_STATIC("printf"),
		TEXT_STATIC("vi"), TEXT_STATIC("vim"), TEXT_STATIC("less"), TEXT_STATIC("strings"), TEXT_STATIC("find"),
		TEXT_STATIC("file"), TEXT_STATIC("tar"), TEXT_STATIC("git"), TEXT_STATIC("gcc"), TEXT_STATIC("cc1")};
	const char *slash = program.length > 0 ? memrchr(program.data, '/', program.length) : NULL;

	if (slash)
		program = text_tail(program, (size_t)(slash - program.data) + 1);
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (text_equal(program, readers[i]))
			return true;
	return false;
}

uint32_t outbound_command_read(const struct event_process *process, char sample[P2P_SAMPLE_TEXT])
{
	enum { ARGUMENTS_MAX = 256 };
	struct text rest = process->args, argument;
	uint32_t bits = read_program(process->executable) | read_program(process->name);
	bool reads = is_reader(process->executable);
	size_t length = 0,
	       kept = process->args.length < P2P_SAMPLE_TEXT - 1 ? process->args.length : P2P_SAMPLE_TEXT - 1;

	for (int i = 0; i < ARGUMENTS_MAX && rest.length > 0; i++) {
		argument = text_next(&rest, '\0');
		if (i == 0)
			bits |= read_program(argument);
		else if (!reads)
			bits |= read_argument(argument);
	}
	/* The sample is of one that says something. */
	kept = bits ? kept : 0;
	for (; length < kept; length++)
		sample[length] = process->args.data[length] ? process->args.data[length] : ' ';
	while (length > 0 && sample[length - 1] == ' ')
		length--;
	sample[length] = '\0';
	utf8_defuse(sample, length);
	return bits;
}
