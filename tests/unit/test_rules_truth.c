/* SPDX-License-Identifier: Apache-2.0 */
/* The corpus: expressions, and what they are of an event. Operators, missing fields, ancestors, lists, logic. */
#include "test_rules.h"

Test(rules_truth, operators_on_texts)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.name = curl", 1},
		{&test_exec, "proc.name == curl", 1},
		{&test_exec, "proc.name=curl", 1},
		{&test_exec, "proc.name = 'curl'", 1},
		{&test_exec, "proc.name = \"curl\"", 1},
		{&test_exec, "proc.name = Curl", 0},
		{&test_exec, "proc.name = curl2", 0},
		{&test_exec, "proc.name = cur", 0},
		{&test_exec, "proc.name != curl", 0},
		{&test_exec, "proc.name != wget", 1},
		{&test_exec, "proc.name in (wget, curl)", 1},
		{&test_exec, "proc.name in (curl)", 1},
		{&test_exec, "proc.name in curl", 1},
		{&test_exec, "proc.name in (wget, fetch)", 0},
		{&test_exec, "proc.name in (a, b, c, d, e, f, curl)", 1},
		{&test_exec, "proc.name in (a, b, c, d, e, f, g)", 0},
		{&test_exec, "proc.name in (\"curl\", 'x y')", 1},
		{&test_exec, "proc.name in ()", 0},
		{&test_exec, "not proc.name in ()", 1},
		{&test_exec, "proc.name intersects (wget, curl)", 1},
		{&test_exec, "proc.name intersects (wget)", 0},
		{&test_exec, "proc.name contains ur", 1},
		{&test_exec, "proc.name contains curl", 1},
		{&test_exec, "proc.name contains curlx", 0},
		{&test_exec, "proc.name contains \"\"", 1},
		{&test_exec, "proc.cmdline contains \" -o \"", 1},
		{&test_exec, "proc.cmdline contains /tmp/Out", 1},
		{&test_exec, "proc.cmdline contains /tmp/out", 0},
		{&test_exec, "proc.cmdline icontains /TMP/out", 1},
		{&test_exec, "proc.cmdline icontains /tmp/outs", 0},
		{&test_exec, "proc.cmdline icontains \"\"", 1},
		{&test_exec, "proc.name bcontains 6375726c", 1},
		{&test_exec, "proc.name bcontains 7572", 1},
		{&test_exec, "proc.name bcontains cafebabe", 0},
		{&test_exec, "proc.name bcontains cafebab", -1},
		{&test_exec, "proc.name bcontains xyz1", -1},
		{&test_exec, "proc.name bstartswith 6375", 1},
		{&test_exec, "proc.name bstartswith 7572", 0},
		{&test_exec, "proc.name startswith cu", 1},
		{&test_exec, "proc.name startswith curl", 1},
		{&test_exec, "proc.name startswith url", 0},
		{&test_exec, "proc.name startswith curls", 0},
		{&test_exec, "proc.name endswith rl", 1},
		{&test_exec, "proc.name endswith curl", 1},
		{&test_exec, "proc.name endswith cur", 0},
		{&test_exec, "proc.name endswith xcurl", 0},
	};

	EXPECT(truths);
}

Test(rules_truth, patterns_on_texts)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.name glob c*l", 1},
		{&test_exec, "proc.name glob c?r?", 1},
		{&test_exec, "proc.name glob c?r", 0},
		{&test_exec, "proc.name glob [a-c]url", 1},
		{&test_exec, "proc.name glob [!a-c]url", 0},
		{&test_exec, "proc.name glob C*", 0},
		{&test_exec, "proc.name iglob C*L", 1},
		{&test_exec, "proc.exepath glob /usr/*", 1},
		{&test_exec, "proc.exepath glob /*curl", 1},
		{&test_exec, "proc.exepath glob /*/*/*/*", 0},
		{&test_exec, "proc.exepath glob *", 1},
		{&test_exec, "proc.exepath glob \"/usr/bin/[[:alpha:]]*\"", 1},
		{&test_exec, "proc.exepath glob \"/usr/bin/[[:digit:]]*\"", 0},
		{&test_exec, "proc.name regex c.*l", 1},
		{&test_exec, "proc.name regex cur", 0},
		{&test_exec, "proc.name regex '[a-z]+'", 1},
		{&test_exec, "proc.name regex '(wget|curl)'", 1},
		{&test_exec, "proc.name regex '(unclosed'", -1},
		{&test_exec, "proc.exepath pmatch (/usr)", 1},
		{&test_exec, "proc.exepath pmatch (/usr/bin)", 1},
		{&test_exec, "proc.exepath pmatch (/usr/bi)", 0},
		{&test_exec, "proc.exepath pmatch (/usr/bin/curl)", 1},
		{&test_exec, "proc.exepath pmatch (/usr/bin/curl/x)", 0},
		{&test_exec, "proc.exepath pmatch (/opt, /usr/*/curl)", 1},
		{&test_exec, "proc.exepath pmatch (/*/bin)", 1},
		{&test_exec, "proc.exepath pmatch (/opt, /var)", 0},
		{&test_exec, "proc.exepath pmatch ()", 0},
		{&test_exec, "proc.exepath pmatch (/)", 1},
		{&test_exec, "proc.name exists", 1},
		{&test_exec, "not proc.name exists", 0},
		{&test_exec, "proc.name < 5", 0},
		{&test_exec, "proc.name > 5", 1},
		{&test_exec, "proc.args = \"-o /tmp/Out http://x.example/a\"", 1},
		{&test_host_exec, "proc.args = \"\"", 1},
		{&test_host_exec, "proc.args exists", 1},
		{&test_host_exec, "proc.args contains x", 0},
		{&test_host_exec, "proc.cmdline = cron", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, operators_on_numbers_and_booleans)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.pid = 400", 1},
		{&test_exec, "proc.pid = 0x190", 1},
		{&test_exec, "proc.pid = 401", 0},
		{&test_exec, "proc.pid != 400", 0},
		{&test_exec, "proc.pid != 401", 1},
		{&test_exec, "proc.pid < 401", 1},
		{&test_exec, "proc.pid < 400", 0},
		{&test_exec, "proc.pid <= 400", 1},
		{&test_exec, "proc.pid <= 399", 0},
		{&test_exec, "proc.pid > 399", 1},
		{&test_exec, "proc.pid > 400", 0},
		{&test_exec, "proc.pid >= 400", 1},
		{&test_exec, "proc.pid >= 401", 0},
		{&test_exec, "proc.pid>=400", 1},
		{&test_exec, "proc.pid in (1, 2, 400)", 1},
		{&test_exec, "proc.pid in (1, 2, 3, 4, 5, 400)", 1},
		{&test_exec, "proc.pid in (1, 2, 3, 4, 5, 6)", 0},
		{&test_exec, "proc.pid intersects (400)", 1},
		{&test_exec, "proc.pid contains 4", -1},
		{&test_exec, "proc.pid startswith 4", -1},
		{&test_exec, "proc.pid regex 4", -1},
		{&test_exec, "proc.pid = four", -1},
		{&test_exec, "proc.pid = 4.5", -1},
		{&test_exec, "proc.pid = \"\"", -1},
		{&test_exec, "proc.pid > x", -1},
		{&test_exec, "proc.duration <= 5000000000", 1},
		{&test_exec, "proc.duration = 1000000000", 1},
		{&test_exec, "proc.tty != 0", 1},
		{&test_exec, "proc.tty = 34818", 1},
		{&test_host_exec, "proc.tty = 0", 1},
		{&test_exec, "user.loginuid = -1", 1},
		{&test_exec, "user.loginuid != -1", 0},
		{&test_host_exec, "user.loginuid >= 1000", 1},
		{&test_missing_file, "fd.num = -1", 1},
		{&test_missing_file, "fd.num >= 0", 0},
		{&test_missing_file, "evt.rawres < 0", 1},
		{&test_missing_file, "evt.rawres = -2", 1},
		{&test_write, "evt.abspath = /lib/passwd.d/Shadow.txt", 1},
		{&test_write, "evt.abspath.dst exists", 0},
		{&test_rename, "evt.abspath = /bin/ls and evt.abspath.src = /bin/ls", 1},
		{&test_write, "fs.path.name = /lib/passwd.d/Shadow.txt and fs.path.nameraw startswith ../", 1},
		{&test_chmod, "fs.path.name = /tmp/x and fs.path.nameraw = x", 1},
		{&test_chmod, "fs.path.source exists or fs.path.target exists", 0},
		{&test_rename, "fs.path.source = /bin/ls and fs.path.sourceraw = ls and fs.path.target = /tmp/.ls", 1},
		{&test_rename, "fs.path.name exists", 0},
		{&test_symlink, "fs.path.source = /etc/shadow and fs.path.target = /tmp/l", 1},
		{&test_connect, "fs.path.name exists", 0},
		{&test_rename, "evt.abspath.dst = /tmp/.ls", 1},
		{&test_write, "fd.num >= 0", 1},
		{&test_write, "fd.num = 5", 1},
		{&test_write, "evt.is_open_write = true", 1},
		{&test_write, "evt.is_open_write = false", 0},
		{&test_write, "evt.is_open_write != true", 0},
		{&test_write, "evt.is_open_write in (true)", 1},
		{&test_write, "evt.is_open_write = yes", -1},
		{&test_write, "evt.is_open_write > 0", -1},
		{&test_write, "evt.is_open_read = true", 0},
		{&test_write, "evt.is_open_exec = true", 1},
		{&test_missing_file, "evt.is_open_exec = true", 0},
		{&test_exec, "evt.is_open_write = true", 0},
		{&test_exec, "evt.num = 0", 0},
		{&test_exec, "not evt.num = 0", 1},
		{&test_exec, "evt.num = 7", 1},
		{&test_exec, "evt.num >= 0", 1},
		{&test_exec, "proc.cmdnargs = 3", 1},
		{&test_exec, "proc.is_exe_upper_layer = true", 1},
		{&test_host_exec, "proc.is_exe_upper_layer = true", 0},
		{&test_exec, "proc.is_vpgid_leader = true", 1},
		{&test_exec, "proc.is_sid_leader = true", 0},
		{&test_exec, "container.privileged = true", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, a_missing_field_makes_every_comparison_false)
{
	static const char *const texts[] = {"= x", "!= x", "in (x)", "intersects (x)", "contains x", "icontains x",
		"bcontains ca", "startswith x", "bstartswith ca", "endswith x", "glob *", "iglob *", "regex .*",
		"pmatch (/)", "exists", "= \"\"", "!= \"\"", "contains \"\"", "in (\"<NA>\", \"N/A\")",
		"contains anyof (x)", "contains allof (x)", "contains oneof (x)", "= val(proc.name)",
		"!= val(proc.name)"};
	static const char *const numbers[] = {"= 0", "!= 0", "< 1", "<= 1", "> 0", ">= 0", "in (0)", "exists"};
	static const char *const addresses[] = {"= 0.0.0.0", "!= 0.0.0.0", "in (0.0.0.0)", "exists"};
	static const char *const text_fields[] = {"proc.name", "proc.aname", "proc.aname[3]", "fd.name", "user.name",
		"evt.arg.mode", "container.image.repository", "k8s.pod.name", "fd.sip.name", "evt.buffer"};
	static const char *const number_fields[] = {
		"proc.pid", "proc.apid", "fd.sport", "fd.port", "user.uid", "proc.duration"};
	static const char *const address_fields[] = {"fd.ip", "fd.sip", "fd.net", "fd.snet"};
	static const struct {
		const char *const *fields;
		size_t field_count;
		const char *const *rests;
		size_t rest_count;
	} groups[] = {
		{text_fields, sizeof(text_fields) / sizeof(*text_fields), texts, sizeof(texts) / sizeof(*texts)},
		{number_fields, sizeof(number_fields) / sizeof(*number_fields), numbers,
			sizeof(numbers) / sizeof(*numbers)},
		{address_fields, sizeof(address_fields) / sizeof(*address_fields), addresses,
			sizeof(addresses) / sizeof(*addresses)},
	};
	char condition[256];

	for (size_t group = 0; group < 3; group++)
		for (size_t i = 0; i < groups[group].field_count; i++)
			for (size_t k = 0; k < groups[group].rest_count; k++) {
				snprintf(condition, sizeof(condition), "%s %s", groups[group].fields[i],
					groups[group].rests[k]);
				cr_expect_eq(test_truth(condition, &test_bare), 0, "%s", condition);
				snprintf(condition, sizeof(condition), "not %s %s", groups[group].fields[i],
					groups[group].rests[k]);
				cr_expect_eq(test_truth(condition, &test_bare), 1, "%s", condition);
			}
}

Test(rules_truth, ancestors)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.pname = bash", 1},
		{&test_exec, "proc.pname exists", 1},
		{&test_host_exec, "proc.pname exists", 0},
		{&test_host_exec, "not proc.pname exists", 1},
		{&test_exec, "proc.aargs = -D", 1},
		{&test_exec, "proc.aargs[2] = -D", 1},
		{&test_exec, "proc.aargs[1] = -D", 0},
		{&test_exec, "proc.aname[0] = curl", 1},
		{&test_exec, "proc.aname[1] = bash", 1},
		{&test_exec, "proc.aname[2] = sshd", 1},
		{&test_exec, "proc.aname[3] = init", 1},
		{&test_exec, "proc.aname[4] exists", 0},
		{&test_exec, "proc.aname[4] != init", 0},
		{&test_exec, "proc.aname[\"2\"] = sshd", 1},
		{&test_exec, "proc.aname[x] = sshd", -1},
		{&test_exec, "proc.aname[1001] = sshd", -1},
		{&test_exec, "proc.aname = sshd", 1},
		{&test_exec, "proc.aname = curl", 0},
		{&test_exec, "proc.aname = init", 1},
		{&test_exec, "proc.aname != sshd", 1},
		{&test_exec, "not proc.aname = sshd", 0},
		{&test_exec, "proc.aname in (a, sshd)", 1},
		{&test_exec, "proc.aname in (a, b, c, d, e, sshd)", 1},
		{&test_exec, "proc.aname in (a, b)", 0},
		{&test_exec, "proc.aname startswith ssh", 1},
		{&test_exec, "proc.aname startswith cur", 0},
		{&test_exec, "proc.aname endswith it", 1},
		{&test_exec, "proc.aname contains as", 1},
		{&test_exec, "proc.aname glob s*d", 1},
		{&test_exec, "proc.aname regex 's.*'", 1},
		{&test_exec, "proc.aname pmatch (bash)", 1},
		{&test_exec, "proc.aname exists", 1},
		{&test_host_exec, "proc.aname exists", 0},
		{&test_host_exec, "proc.aname != x", 0},
		{&test_exec, "proc.apid = 200", 1},
		{&test_exec, "proc.apid = 400", 0},
		{&test_exec, "proc.apid[1] = 300", 1},
		{&test_exec, "proc.apid > 250", 1},
		{&test_exec, "proc.aexepath = /usr/sbin/sshd", 1},
		{&test_exec, "proc.aexepath[2] = /usr/sbin/sshd", 1},
		{&test_exec, "proc.aexe endswith init", 1},
		{&test_exec, "proc.acmdline contains -D", 1},
		{&test_exec, "proc.acmdline[2] = \"sshd -D\"", 1},
		{&test_exec, "proc.pexe = -bash", 1},
		{&test_exec, "proc.pcmdline = bash", 1},
		{&test_exec, "proc.pexepath endswith /bash", 1},
		{&test_exec, "proc.ppid = 300", 1},
		{&test_exec, "proc.sname = bash", 1},
		{&test_exec, "proc.sid = 300", 1},
		{&test_exec, "proc.vpgid.name = curl", 1},
		{&test_exec, "proc.vpid = 40", 1},
		{&test_exec, "proc.aname=init and (proc.name=x or not proc.aname=cron)", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, names_and_rights)
{
	static const struct truth truths[] = {
		{&test_exec, "user.name = www-data", 1},
		{&test_exec, "user.name in (bin, daemon, www-data)", 1},
		{&test_exec, "user.uid = 33", 1},
		{&test_exec, "group.name = 33", 1},
		{&test_exec, "group.gid = 33", 1},
		{&test_exec, "user.loginname exists", 0},
		{&test_host_exec, "user.loginname = 1000", 1},
		{&test_host_exec, "user.name = root", 1},
		{&test_exec, "container.id != host", 1},
		{&test_exec, "container.id = abcdef010203", 1},
		{&test_exec, "container.full_id startswith abcdef01020304", 1},
		{&test_host_exec, "container.id = host", 1},
		{&test_host_exec, "container.id != host", 0},
		{&test_host_exec, "container.image exists", 0},
		{&test_exec, "container.image.repository = docker.io/library/nginx", 1},
		{&test_exec, "container.image.repository endswith nginx", 1},
		{&test_exec, "container.image = docker.io/library/nginx:1.25", 1},
		{&test_exec, "container.name = web", 1},
		{&test_exec, "k8s.ns.name = shop", 1},
		{&test_exec, "k8s.pod.name startswith web-", 1},
		{&test_exec, "k8s.pod.label.app = web", 1},
		{&test_exec, "k8s.pod.label.nosuch exists", 0},
		{&test_exec, "k8s.pod.label[app] = web", 1},
		{&test_exec, "k8s.pod.label[none] exists", 0},
		{&test_exec, "k8s.pod.label = x", -1},
		{&test_exec, "container.mount.dest[/proc*] = /host/proc", 1},
		{&test_exec, "container.mount.dest[/proc*] != \"N/A\"", 1},
		{&test_exec, "container.mount.dest[/none] != \"N/A\"", 0},
		{&test_exec, "not container.mount.dest[/none] in (\"<NA>\",\"N/A\")", 0},
		{&test_exec, "container.mount.dest[1] = /docker.sock", 1},
		{&test_exec, "container.mount.rdwr[0] = false", 1},
		{&test_exec, "thread.cap_effective contains CAP_SYS_ADMIN", 1},
		{&test_exec, "thread.cap_effective icontains sys_module", 1},
		{&test_exec, "thread.cap_permitted contains CAP_SYS_MODULE", 0},
		{&test_exec, "thread.cap_effective = \"CAP_SYS_MODULE CAP_SYS_ADMIN\"", 1},
		{&test_host_exec, "thread.cap_effective = \"\"", 1},
		{&test_exec, "proc.env icontains http_proxy", 1},
		{&test_exec, "proc.env[HOME] = /root", 1},
		{&test_exec, "proc.env[NONE] exists", 0},
		{&test_exec, "proc.cwd startswith /var", 1},
		{&test_exec, "proc.exe = curl", 1},
		{&test_exec, "proc.exeline startswith \"curl -o\"", 1},
		{&test_exec, "evt.type = execve", 1},
		{&test_exec, "syscall.type = execve", 1},
		{&test_exec, "evt.type in (execve, execveat)", 1},
		{&test_exec, "evt.type != execve", 0},
		{&test_exec, "evt.type = open", 0},
		{&test_exec, "evt.type startswith exec", 1},
		{&test_exec, "evt.type = nosuchcall", -1},
		{&test_exec, "evt.dir = <", 1},
		{&test_exec, "evt.dir = \">\"", 0},
		{&test_exec, "evt.category = process", 1},
		{&test_write, "evt.category = file", 1},
		{&test_exec, "evt.source = syscall", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, times_of_the_executable)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.exe_ino = 4711", 1},
		{&test_exec, "proc.exe_ino.ctime = 1700000199000000000", 1},
		{&test_exec, "proc.exe_ino.ctime > 1700000199000000000", 0},
		{&test_exec, "proc.exe_ino.mtime = 1600000000000000001", 1},
		{&test_exec, "proc.exe_ino.ctime_duration_proc_start = 1000000000", 1},
		{&test_exec, "proc.exe_ino.ctime_duration_pidns_start = -1000000000", 1},
		{&test_exec, "proc.pidns_init_start_ts = 1700000198000000000", 1},
		{&test_exec, "container.start_ts = 1700000198000000000", 1},
		{&test_exec, "container.duration > 0", 1},
		{&test_host_exec, "container.start_ts exists", 0},
		{&test_host_exec, "proc.pidns_init_start_ts exists", 0},
		{&test_exec, "container.host_network = true", 0},
		{&test_exec, "container.host_pid = false", 1},
		{&test_host_exec, "proc.exe_ino.ctime exists", 0},
		{&test_host_exec, "proc.exe_ino.mtime exists", 0},
		{&test_host_exec, "proc.exe_ino.ctime_duration_proc_start exists", 0},
		{&test_exec, "evt.arg.exe_ino = 4711", 1},
		{&test_exec, "evt.arg.exe_ino_ctime = 1700000199000000000", 1},
		{&test_exec, "evt.arg.exe_ino_mtime = 1600000000000000001", 1},
		{&test_exec, "evt.rawarg.exe_ino_mtime < 1600000000000000002", 1},
		{&test_host_exec, "evt.arg.exe_ino_ctime exists", 0},
		{&test_write, "evt.arg.exe_ino exists", 0},
		{&test_exec, "evt.args contains \" exe_ino=4711 exe_ino_ctime=1700000199000000000 exe_ino_mtime=\"", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, logic)
{
	static const struct truth truths[] = {
		{&test_exec, "proc.name=curl and proc.pname=bash", 1},
		{&test_exec, "proc.name=curl and proc.pname=x", 0},
		{&test_exec, "proc.name=x or proc.pname=bash", 1},
		{&test_exec, "proc.name=x or proc.pname=x", 0},
		{&test_exec, "proc.name=curl or proc.name=x and proc.name=x", 1},
		{&test_exec, "(proc.name=curl or proc.name=x) and proc.name=x", 0},
		{&test_exec, "not proc.name=x and proc.name=curl", 1},
		{&test_exec, "not (proc.name=x and proc.name=curl)", 1},
		{&test_exec, "not(proc.name=x)", 1},
		{&test_exec, "not not proc.name=curl", 1},
		{&test_exec, "not not not proc.name=curl", 0},
		{&test_exec, "not not(proc.name=curl)", 1},
		{&test_exec, "proc.name=curl and(proc.pname=bash)", 1},
		{&test_exec, "proc.name=x or(proc.pname=bash)", 1},
		{&test_exec, "proc.name=curl andproc.pname=bash", -1},
		{&test_exec, "proc.name=curl AND proc.pname=bash", -1},
		{&test_exec, "proc.name=curl and", -1},
		{&test_exec, "and proc.name=curl", -1},
		{&test_exec, "(proc.name=curl", -1},
		{&test_exec, "proc.name=curl)", -1},
		{&test_exec, "proc.name", -1},
		{&test_exec, "proc.name =", -1},
		{&test_exec, "proc.name in (a b)", -1},
		{&test_exec, "proc.name in (a,)", -1},
		{&test_exec, "proc.name in (,)", -1},
		{&test_exec, "proc.name is curl", -1},
		{&test_exec, "proc.nosuch = x", -1},
		{&test_exec, "nosuchmacro", -1},
		{&test_exec, "proc.name = \"curl", -1},
		{&test_exec, "proc.name = 'cu\\x72l'", 1},
		{&test_exec, "proc.name = \"cu\\x72l\"", 1},
		{&test_exec, "proc.name = \"cu\\qrl\"", -1},
		{&test_exec, "proc.name != \"\\\"\"", 1},
		{&test_exec, "proc.name != \"a\\ b\"", 1},
		{&test_exec, "proc.name[1] = curl", -1},
		{&test_exec, "proc.cmdline contains anyof (xx, -o)", 1},
		{&test_exec, "proc.cmdline contains anyof (xx, yy)", 0},
		{&test_exec, "proc.cmdline contains allof (curl, -o)", 1},
		{&test_exec, "proc.cmdline contains allof (curl, yy)", 0},
		{&test_exec, "proc.cmdline contains oneof (curl, yy)", 1},
		{&test_exec, "proc.cmdline contains oneof (curl, -o)", 0},
		{&test_exec, "proc.name startswith anyof (x, cu)", 1},
		{&test_exec, "proc.name = anyof (x, curl)", 1},
		{&test_exec, "proc.pid > anyof (1, 500)", 1},
		{&test_exec, "proc.pid > allof (1, 500)", 0},
		{&test_exec, "proc.aname = anyof (x, sshd)", 1},
	};

	EXPECT(truths);
}

Test(rules_truth, transformers)
{
	static const struct truth truths[] = {
		{&test_exec, "toupper(proc.name) = CURL", 1},
		{&test_exec, "tolower(proc.cmdline) contains /tmp/out", 1},
		{&test_exec, "tolower(toupper(proc.name)) = curl", 1},
		{&test_exec, "basename(proc.exepath) = curl", 1},
		{&test_exec, "basename(proc.exepath) = val(proc.name)", 1},
		{&test_exec, "proc.name = val(proc.exe)", 1},
		{&test_exec, "proc.name = val(proc.pname)", 0},
		{&test_exec, "proc.name != val(proc.pname)", 1},
		{&test_exec, "proc.exepath endswith val(proc.name)", 1},
		{&test_exec, "proc.pid = val(proc.vpid)", 0},
		{&test_exec, "proc.pid > val(proc.ppid)", 1},
		{&test_exec, "proc.pid = val(proc.name)", -1},
		{&test_exec, "proc.name = tolower(proc.exe)", 1},
		{&test_exec, "proc.name in val(proc.aname)", 0},
		{&test_exec, "proc.pname in val(proc.aname)", 1},
		{&test_exec, "len(proc.name) = 4", 1},
		{&test_exec, "len(proc.name) > 4", 0},
		{&test_exec, "len(proc.aname) = 3", 1},
		{&test_exec, "len(proc.pid) = 3", -1},
		{&test_exec, "concat(proc.name, \"-\", proc.pname) = curl-bash", 1},
		{&test_exec, "concat(proc.name, proc.pid) = curl400", 1},
		{&test_exec, "join(\",\", proc.aname) = \"bash,sshd,init\"", 1},
		{&test_exec, "join(\",\", (proc.name, proc.pid)) = \"curl,400\"", 1},
		{&test_exec, "join(-, ( toupper(proc.name), 'x y' , proc.pname )) = \"CURL-x y-bash\"", 1},
		{&test_exec, "join(-, (proc.name, fd.name)) exists", 0},
		{&test_exec, "join(\",\", (proc.name", -1},
		{&test_exec, "join(\",\", ()) exists", -1},
		{&test_exec, "join(proc.pid, (proc.name)) exists", -1},
		{&test_exec, "getopt(proc.args, \"o:\") intersects (o)", 1},
		{&test_exec, "getopt(proc.args, \"o:\") intersects (/tmp/Out)", 1},
		{&test_exec, "getopt(proc.args, \"x\") intersects (x)", 0},
		{&test_exec, "getopt(proc.args, \"o:\") in (o, /tmp/Out)", 1},
		{&test_exec, "getopt(proc.args, \"o:\") in (o)", 0},
		{&test_exec, "getopt(proc.args, \"o:\") = o", -1},
		{&test_exec, "b64(proc.name) exists", 1},
		{&test_exec, "b64(proc.exepath) exists", 0},
		{&test_exec, "tolower(proc.pid) = 4", -1},
		{&test_exec, "tolower() = 4", -1},
		{&test_exec, "tolower(proc.name, proc.exe) = 4", -1},
		{&test_exec, "toupper(proc.aname) = SSHD", 1},
		{&test_bare, "toupper(proc.name) != X", 0},
	};

	EXPECT(truths);
}
