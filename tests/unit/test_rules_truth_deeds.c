/* SPDX-License-Identifier: Apache-2.0 */
/* The corpus, of what was done: connections, files, the arguments of calls. */
#include "test_rules.h"

Test(rules_truth, connections)
{
	static const struct truth truths[] = {
		{&test_connect, "fd.ip = 10.1.2.3", 1},
		{&test_connect, "fd.ip = 93.184.216.34", 1},
		{&test_connect, "fd.ip = 1.1.1.1", 0},
		{&test_connect, "fd.ip != 10.1.2.3", 0},
		{&test_connect, "fd.ip != 1.1.1.1", 1},
		{&test_connect, "fd.ip in (1.1.1.1, 93.184.216.34)", 1},
		{&test_connect, "fd.ip in (1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4, 93.184.216.34)", 1},
		{&test_connect, "fd.ip = \"0.0.0.0\"", 0},
		{&test_connect, "fd.ip = 300.1.1.1", -1},
		{&test_connect, "fd.ip > 1", -1},
		{&test_connect, "fd.sip = 93.184.216.34", 1},
		{&test_connect, "fd.sip = 10.1.2.3", 0},
		{&test_connect, "fd.sip != 10.1.2.3", 1},
		{&test_connect, "fd.cip = 10.1.2.3", 1},
		{&test_connect, "fd.lip = 10.1.2.3", 1},
		{&test_connect, "fd.rip = 93.184.216.34", 1},
		{&test_accept, "fd.lip = 10.1.2.3", 1},
		{&test_accept, "fd.rip = 172.16.9.9", 1},
		{&test_accept, "fd.cip = 172.16.9.9", 1},
		{&test_accept, "fd.sport = 8080", 1},
		{&test_accept, "fd.lport = 8080", 1},
		{&test_accept, "fd.rport = 50000", 1},
		{&test_accept, "fd.is_server = true", 1},
		{&test_connect, "fd.is_server = true", 0},
		{&test_connect, "fd.net = 10.0.0.0/8", 1},
		{&test_connect, "fd.net = 93.184.0.0/16", 1},
		{&test_connect, "fd.net != 127.0.0.0/8", 1},
		{&test_connect, "fd.net != 10.0.0.0/8", 0},
		{&test_connect, "fd.net = \"10.1.2.0/31\"", 0},
		{&test_connect, "fd.net = \"10.1.2.2/31\"", 1},
		{&test_connect, "fd.net = 10.0.0.0/33", -1},
		{&test_connect, "fd.net = 10.0.0.0/", -1},
		{&test_connect, "fd.net = 0.0.0.0/0", 1},
		{&test_connect, "fd.snet in (\"10.0.0.0/8\", \"192.168.0.0/16\")", 0},
		{&test_send, "fd.snet in (\"10.0.0.0/8\", \"192.168.0.0/16\")", 1},
		{&test_connect, "fd.cnet in (10.0.0.0/8)", 1},
		{&test_connect, "fd.rnet in (10.0.0.0/8)", 0},
		{&test_accept, "fd.rnet in (172.16.0.0/12)", 1},
		{&test_connect6, "fd.net = 10.0.0.0/8", 0},
		{&test_connect6, "fd.net != 10.0.0.0/8", 1},
		{&test_connect6, "fd.ip != 0.0.0.0", 1},
		{&test_connect6, "fd.net = fd00::/8", 1},
		{&test_connect6, "fd.sip = 2001:db8::2", 1},
		{&test_connect6, "fd.snet = 2001:db8::/32", 1},
		{&test_connect6, "fd.snet = 2001:db9::/32", 0},
		{&test_connect6, "fd.typechar = 6", 1},
		{&test_connect6, "fd.type = ipv6", 1},
		{&test_connect6, "fd.name = fd00::1:40001->2001:db8::2:80", 1},
		{&test_connect, "fd.typechar = 4", 1},
		{&test_connect, "fd.type in (ipv4, ipv6)", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, ports_and_states_of_connections)
{
	static const struct truth truths[] = {
		{&test_connect, "fd.port = 443", 1},
		{&test_connect, "fd.port = 40000", 1},
		{&test_connect, "fd.port != 443", 0},
		{&test_connect, "fd.port != 80", 1},
		{&test_connect, "fd.port < 1000", 1},
		{&test_connect, "fd.port in (80, 443)", 1},
		{&test_connect, "fd.sport in (80, 8080, 88, 443, 8443, 53, 4444)", 1},
		{&test_connect, "fd.cport = 40000", 1},
		{&test_connect, "fd.name = \"10.1.2.3:40000->93.184.216.34:443\"", 1},
		{&test_connect, "fd.name contains 93.184", 1},
		{&test_connect, "fd.l4proto = tcp", 1},
		{&test_connect, "fd.l4proto != tcp", 0},
		{&test_send, "fd.l4proto = udp and fd.name_changed = true and not fd.connected = true", 1},
		{&test_connect, "fd.sockfamily = ip", 1},
		{&test_unix, "fd.sockfamily = unix", 1},
		{&test_unix, "fd.name = /run/docker.sock", 1},
		{&test_unix, "fd.typechar = u", 1},
		{&test_unix, "fd.ip exists", 0},
		{&test_unix, "fd.l4proto != tcp", 0},
		{&test_connect, "fd.sip.name = example.com", 1},
		{&test_connect, "fd.sip.name = www.example.com", 1},
		{&test_connect, "fd.sip.name in (a, www.example.com)", 1},
		{&test_connect, "fd.sip.name != example.com", 0},
		{&test_connect, "fd.cip.name exists", 0},
		{&test_connect, "evt.res = EINPROGRESS", 1},
		{&test_connect, "evt.rawres >= 0 or evt.res = EINPROGRESS", 1},
		{&test_connect, "evt.res startswith E", 1},
		{&test_connect6, "evt.res = SUCCESS", 1},
		{&test_connect, "fd.num = 3", 1},
		{&test_packet, "evt.arg.domain contains AF_PACKET", 1},
		{&test_packet, "evt.arg[domain] contains AF_PACKET", 1},
		{&test_connect, "evt.arg.domain contains AF_PACKET", 0},
		{&test_connect,
			"evt.type in (connect, sendmsg) and (fd.type = ipv6 or (fd.sport < 1024 and not fd.snet in "
			"(10.0.0.0/8))) "
			"and fd.net != 127.0.0.0/8",
			1},
	};

	EXPECT(truths);
}

Test(rules_truth, what_was_received)
{
	static const struct truth truths[] = {
		{&test_receive, "evt.buffer bcontains cafebabe", 1},
		{&test_receive, "evt.buffer bcontains cafebabf", 0},
		{&test_receive, "evt.buffer bcontains 00ca", 1},
		{&test_receive, "evt.buffer bstartswith 474554", 1},
		{&test_receive, "evt.buffer contains GET", 1},
		{&test_receive, "evt.buflen = 8", 1},
		{&test_receive, "evt.arg.data startswith GET", 1},
		{&test_receive, "evt.rawarg.data exists", 0},
		{&test_receive, "evt.args contains GET", 0},
		{&test_receive, "evt.rawres = 2000", 1},
		{&test_receive, "fd.connected = true", 1},
		{&test_receive, "fd.name_changed = true", 0},
		{&test_receive, "fd.name = 172.16.9.9:50000->10.1.2.3:8080", 1},
		{&test_send, "fd.name_changed = true", 1},
		{&test_send, "evt.buffer exists", 0},
		{&test_exec, "evt.arg.data exists", 0},
		{&test_receive,
			"evt.type in (recvfrom, recvmsg) and fd.type in (ipv4, ipv6) and proc.name=curl and "
			"evt.buffer bcontains cafebabe",
			1},
	};

	EXPECT(truths);
}

Test(rules_truth, files)
{
	static const struct truth truths[] = {
		{&test_write, "fd.name = /lib/passwd.d/Shadow.txt", 1},
		{&test_write, "taffrail.fd.path = /usr/lib/passwd.d/Shadow.txt", 1},
		{&test_write, "fd.nameraw contains ../", 1},
		{&test_write, "fd.nameraw glob *../*../*", 1},
		{&test_write, "fd.directory = /lib/passwd.d", 1},
		{&test_write, "fd.directory pmatch (/lib)", 1},
		{&test_write, "fd.filename = Shadow.txt", 1},
		{&test_write, "fd.filename in (a, b, c, d, Shadow.txt)", 1},
		{&test_write, "fd.typechar = f", 1},
		{&test_write, "fd.typechar = 'f'", 1},
		{&test_write, "fd.type = file", 1},
		{&test_write, "evt.arg.flags contains O_TRUNC", 1},
		{&test_write, "evt.arg.flags contains O_CREAT", 1},
		{&test_write, "evt.arg.flags contains O_APPEND", 0},
		{&test_write, "evt.arg.name = /lib/passwd.d/Shadow.txt", 1},
		{&test_write, "evt.arg.mode = 0755", 1},
		{&test_write, "evt.rawarg.mode = 493", 1},
		{&test_write, "evt.arg[1] = /lib/passwd.d/Shadow.txt", 1},
		{&test_write, "evt.arg.nosuch = x", -1},
		{&test_write, "fd.ino = 77", 1},
		{&test_missing_file, "fd.typechar='f' and fd.num=-1 and evt.res startswith E", 1},
		{&test_missing_file, "evt.res = ENOENT", 1},
		{&test_missing_file, "evt.res != SUCCESS", 1},
		{&test_missing_file, "evt.failed = true", 1},
		{&test_missing_file, "fd.filename = none", 1},
		{&test_exec, "fd.name exists", 0},
	};

	EXPECT(truths);
}

Test(rules_truth, arguments_of_calls)
{
	static const struct truth truths[] = {
		{&test_chmod, "evt.arg.mode contains S_ISUID", 1},
		{&test_chmod, "evt.arg.mode contains S_ISGID", 0},
		{&test_chmod, "evt.arg.mode contains S_IXOTH", 1},
		{&test_chmod, "evt.arg.filename = /tmp/x", 1},
		{&test_chmod, "evt.arg.filename startswith /tmp", 1},
		{&test_chmod, "fd.name exists", 0},
		{&test_rename, "evt.arg.oldpath = /bin/ls", 1},
		{&test_rename, "evt.arg.newpath contains /.", 1},
		{&test_rename, "evt.arg.newpath pmatch (/tmp)", 1},
		{&test_rename, "evt.arg.path exists", 0},
		{&test_symlink, "evt.arg.target in (/etc/shadow, /etc)", 1},
		{&test_symlink, "evt.arg.linkpath = /tmp/l", 1},
		{&test_unlink, "evt.arg.name endswith ash_history", 1},
		{&test_unlink, "evt.arg.path endswith ash_history", 0},
		{&test_ptrace, "evt.arg.request contains PTRACE_ATTACH", 1},
		{&test_ptrace, "evt.arg.request contains PTRACE_SEIZE", 0},
		{&test_ptrace, "evt.arg.pid = 1", 1},
		{&test_bpf, "evt.arg.cmd = 5", 1},
		{&test_bpf, "evt.arg.cmd = BPF_PROG_LOAD", 1},
		{&test_bpf, "evt.arg.cmd != 5", 0},
		{&test_bpf, "evt.arg.cmd = 6", 0},
		{&test_setuid, "evt.arg.uid = root", 1},
		{&test_setuid, "evt.rawarg.uid = 0", 1},
		{&test_setuid, "evt.arg.uid = nobody", 0},
		{&test_dup, "evt.rawres in (0, 1, 2)", 1},
		{&test_dup, "fd.type in (\"ipv4\", \"ipv6\")", 1},
		{&test_dup, "fd.name = 10.1.2.3:4->5.6.7.8:9", 1},
		{&test_dup, "fd.sip = 5.6.7.8", 1},
		{&test_dup, "fd.lport = 4", 1},
		{&test_dup, "fd.l4proto = tcp", 1},
		{&test_dup, "fd.is_server = false", 1},
		{&test_dup, "fd.num = 1", 1},
		{&test_unshare, "evt.arg.flags contains CLONE_NEWNS", 1},
		{&test_unshare, "evt.arg.flags contains CLONE_NEWUSER", 1},
		{&test_unshare, "evt.arg.flags contains CLONE_NEWNET", 0},
	};

	EXPECT(truths);
}

/* What the workload had resolved is told with the event itself, whoever evaluates. */
Test(rules_truth, the_name_that_was_resolved_is_the_servers)
{
	struct event event = test_connect, inbound = test_accept;
	const struct truth truths[] = {
		{&event, "fd.sip.name = db.example", 1},
		{&event, "fd.rip.name = db.example", 1},
		{&event, "fd.sip.name endswith .example", 1},
		{&event, "fd.sip.name in (other.example, db.example)", 1},
		{&event, "fd.cip.name = db.example", 0},
		{&event, "fd.lip.name = db.example", 0},
		{&inbound, "fd.rip.name = db.example", 0},
		{&inbound, "fd.sip.name = db.example", 0},
	};

	event.network.domain = inbound.network.domain = TEXT_LITERAL("db.example");
	EXPECT(truths);
}
