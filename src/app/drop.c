// SPDX-License-Identifier: Apache-2.0
// Becoming another user, for good.
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/process.h"
#include "base/err.h"

static bool user_number(struct str text, uint64_t *number)
{
	return str_to_u64(text, UINT32_MAX - 1, number) == 0;
}

static int user_find(struct app_user *u, struct str user, char *why, size_t why_len)
{
	uint64_t number;
	const struct passwd *p =
		user_number(user, &number) ? getpwuid((uid_t)number) : getpwnam(user.p);

	if (p) {
		u->uid = p->pw_uid;
		u->gid = p->pw_gid;
		snprintf(u->name, sizeof(u->name), "%s", p->pw_name);
		return 0;
	}
	if (user_number(user, &number)) {
		u->uid = (uid_t)number;
		u->gid = (gid_t)number;
		return 0;
	}
	snprintf(why, why_len,
		 "there is no user \"%s\": create it (adduser --system), or name another", user.p);
	return -ENOENT;
}

int app_user_find(struct app_user *u, struct str user, struct str group, char *why, size_t why_len)
{
	uint64_t number;

	*u = (struct app_user){.wanted = user.len || group.len, .uid = geteuid(), .gid = getegid()};
	if (user.len) {
		int err = user_find(u, user, why, why_len);
		if (err)
			return err;
	}
	if (!group.len)
		return 0;
	const struct group *g =
		user_number(group, &number) ? getgrgid((gid_t)number) : getgrnam(group.p);
	if (g) {
		u->gid = g->gr_gid;
	} else if (user_number(group, &number)) {
		u->gid = (gid_t)number;
	} else {
		snprintf(why, why_len,
			 "there is no group \"%s\": create it (addgroup --system), or name another",
			 group.p);
		return -ENOENT;
	}
	return 0;
}

static int user_set_ids(const struct app_user *u)
{
	if (u->name[0] ? initgroups(u->name, u->gid) : setgroups(1, &u->gid))
		return -errno;
	if (setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid))
		return -errno;
	return 0;
}

/* A user other than root has lost its capabilities with the change, but securebits may say otherwise. */
static int user_drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}

static bool user_is_become(const struct app_user *u)
{
	uid_t uid[3];
	gid_t gid[3];

	if (getresuid(&uid[0], &uid[1], &uid[2]) || getresgid(&gid[0], &gid[1], &gid[2]))
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (uid[i] != u->uid || gid[i] != u->gid)
			return false;
	/* There must be no way back. */
	return u->uid == 0 || (setuid(0) && seteuid(0));
}

int app_user_become(const struct app_user *u, char *why, size_t why_len)
{
	if (!u->wanted)
		return 0;
	if (geteuid() != 0 && geteuid() == u->uid && getegid() == u->gid)
		return 0;
	if (geteuid() != 0) {
		snprintf(
			why, why_len,
			"only root can become user %u, group %u: start as root, or take `user` and "
			"`group` out of the configuration",
			(unsigned)u->uid, (unsigned)u->gid);
		return -EPERM;
	}
	int err = user_set_ids(u);
	if (!err && u->uid != 0)
		err = user_drop_capabilities();
	if (!err && !user_is_become(u))
		err = -EPERM;
	if (err)
		snprintf(why, why_len,
			 "cannot become user %u, group %u (%s): does the container allow it "
			 "(CAP_SETUID, CAP_SETGID)?",
			 (unsigned)u->uid, (unsigned)u->gid, err_text(err));
	return err;
}
