/* SPDX-License-Identifier: Apache-2.0 */
#include "event/event.h"

static const struct {
	struct text name;
	enum event_category category;
} actions[EVENT_ACTIONS_END] = {
#define ACTION(action, number, text, category) [EVENT_##action] = {{(text), sizeof(text) - 1}, EVENT_##category},
	EVENT_ACTIONS(ACTION)
#undef ACTION
};

const char *event_action_name(enum event_action action)
{
	return action > 0 && action < EVENT_ACTIONS_END ? actions[action].name.data : NULL;
}

enum event_category event_action_category(enum event_action action)
{
	return action > 0 && action < EVENT_ACTIONS_END ? actions[action].category : EVENT_HEALTH;
}

enum event_action event_action_find(struct text name)
{
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (text_equal(actions[action].name, name))
			return action;
	return 0;
}

const char *event_cut_name(uint32_t bit)
{
	switch (bit) {
#define CUT(name, number, text) case EVENT_CUT_##name: return text;
		EVENT_CUTS(CUT)
#undef CUT
	default: return NULL;
	}
}
