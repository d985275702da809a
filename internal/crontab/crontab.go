// Package crontab reads what cron expressions say about days of the week in the way of most
// programs, for a parser that knows Sunday as 0 alone.
package crontab

import (
	"slices"
	"strconv"
	"strings"
)

// weekdays are the names of days, in the order of their numbers.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// SundayAs0 returns an expression of five fields in the form that the parser reads, in which
// Sunday is 0 and never 7. What it does not understand it leaves to the parser, which refuses
// it.
func SundayAs0(rule string) string {
	fields := strings.Fields(rule)
	const weekday = 4
	if len(fields) != weekday+1 {
		return rule
	}
	items := strings.Split(fields[weekday], ",")
	for i, item := range items {
		items[i] = daysOf(item)
	}
	fields[weekday] = strings.Join(items, ",")
	return strings.Join(fields, " ")
}

// daysOf returns the list of days for a range that ends on Sunday as the last day of the
// week, "5,6,0" for "5-7" and "fri-sun", and for a Sunday alone that is 7. It returns
// everything else as it is.
func daysOf(item string) string {
	days, stepText, hasStep := strings.Cut(item, "/")
	from, to, isRange := strings.Cut(days, "-")
	if !isRange {
		to = from
	}
	first, last := weekdayOf(from), weekdayOf(to)
	if isRange && last == 0 && first > 0 && strings.EqualFold(to, weekdays[0]) {
		last = 7
	}
	step := 1
	if hasStep {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil {
			return item
		}
	}
	if last != 7 || first < 0 || step < 1 {
		return item
	}
	var list []string
	for day := first; day <= last; day += min(step, 7) {
		list = append(list, strconv.Itoa(day%7))
	}
	return strings.Join(list, ",")
}

// weekdayOf returns the number of a day, by its number from 0 to 7 or its name, or -1.
func weekdayOf(text string) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 7 {
		return n
	}
	return slices.Index(weekdays, strings.ToLower(text))
}
