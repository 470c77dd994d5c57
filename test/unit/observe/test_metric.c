// SPDX-License-Identifier: Apache-2.0
#include "observe/metric.h"

#include "unit.h"

static struct text text;

static int start(void **state)
{
	text_init(&text, 100000);
	return 0;
}

static int stop(void **state)
{
	text_free(&text);
	return 0;
}

static void expect(const char *what)
{
	text_put_char(&text, 0);
	assert_string_equal(text.p, what);
}

static void test_families_and_values(void **state)
{
	metric_family(&text, "test_requests_total", METRIC_COUNTER, "Requests.");
	metric_value(&text, "test_requests_total", NULL, UINT64_MAX);
	metric_family(&text, "test_open", METRIC_GAUGE, "Open.");
	metric_value(&text, "test_open", "engine=\"epoll\"", 0);
	metric_value(&text, "test_open", "engine=\"poll\"", 7);
	expect("# HELP test_requests_total Requests.\n"
	       "# TYPE test_requests_total counter\n"
	       "test_requests_total 18446744073709551615\n"
	       "# HELP test_open Open.\n"
	       "# TYPE test_open gauge\n"
	       "test_open{engine=\"epoll\"} 0\n"
	       "test_open{engine=\"poll\"} 7\n");
}

static void test_times(void **state)
{
	static struct hist h;
	static const uint64_t values_ns[] = {0, 1023, 1024, 1000000, 1000000000, 30000000000};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(values_ns); i++)
		hist_add(&h, values_ns[i]);
	metric_family(&text, "t_seconds", METRIC_HIST, "Time.");
	metric_times(&text, "t_seconds", &h);
	expect("# HELP t_seconds Time.\n"
	       "# TYPE t_seconds histogram\n"
	       "t_seconds_bucket{le=\"1.023e-06\"} 2\n"
	       "t_seconds_bucket{le=\"4.095e-06\"} 3\n"
	       "t_seconds_bucket{le=\"1.6383e-05\"} 3\n"
	       "t_seconds_bucket{le=\"6.5535e-05\"} 3\n"
	       "t_seconds_bucket{le=\"0.000262143\"} 3\n"
	       "t_seconds_bucket{le=\"0.001048575\"} 4\n"
	       "t_seconds_bucket{le=\"0.004194303\"} 4\n"
	       "t_seconds_bucket{le=\"0.016777215\"} 4\n"
	       "t_seconds_bucket{le=\"0.067108863\"} 4\n"
	       "t_seconds_bucket{le=\"0.268435455\"} 4\n"
	       "t_seconds_bucket{le=\"1.07374182\"} 5\n"
	       "t_seconds_bucket{le=\"4.2949673\"} 5\n"
	       "t_seconds_bucket{le=\"17.1798692\"} 5\n"
	       "t_seconds_bucket{le=\"+Inf\"} 6\n"
	       "t_seconds_sum 31.001002\n"
	       "t_seconds_count 6\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_families_and_values, start, stop),
		cmocka_unit_test_setup_teardown(test_times, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
