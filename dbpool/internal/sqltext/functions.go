package sqltext

import "strings"

// functions are words that, before a parenthesis, are a keyword of an engine or a
// function of its own that leaves no state behind. A word that another engine knows
// may be a function of the application here, which may leave anything.
type functions map[string]struct{}

// functionsOf returns those of the engine whose driver has that name. Of an unknown
// engine they are the keywords that all have.
func functionsOf(driverName string) functions {
	m := functions{}
	for _, list := range []string{keywords, ownFunctions[driverName]} {
		for word := range strings.FieldsSeq(list) {
			m[word] = struct{}{}
		}
	}
	return m
}

// keywords cannot be names of functions without quotes, in any engine.
const keywords = `all and any as between bigint bit by case cast char character check coalesce decimal distinct else
	except exists extract from group having in inner integer intersect is join lateral left like limit not null nullif
	numeric offset on or order outer over returning right row select set some then timestamp union using values varchar
	when where with`

// ownFunctions are by the name of the engine's driver. Old versions of servers have
// them, too.
var ownFunctions = map[string]string{
	// Source: https://www.postgresql.org/docs/current/functions.html
	"pgx": `abs age array array_agg array_length array_to_string ascii avg bool_and bool_or btrim cardinality ceil
		ceiling char_length concat concat_ws conflict convert_from convert_to count date date_part date_trunc decode
		dense_rank encode every exp filter first_value float floor format gen_random_uuid generate_series greatest initcap
		interval json_agg json_array_elements json_array_length json_build_array json_build_object json_each json_object
		json_object_agg json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
		jsonb_build_array jsonb_build_object jsonb_each jsonb_object_agg jsonb_set jsonb_typeof lag last_value lead least
		length ln localtime localtimestamp log lower lpad ltrim make_date make_interval materialized max md5 min mod mode
		now ntile octet_length overlay partition percent_rank percentile_cont percentile_disc pg_sleep plainto_tsquery
		position power quote_ident quote_literal random rank regexp_match regexp_matches regexp_replace
		regexp_split_to_array repeat replace reverse round row_number row_to_json rpad rtrim sign split_part sqrt stddev
		string_agg strpos substr substring sum time to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery
		to_tsvector translate trim trunc ts_headline ts_rank unnest upper uuid variance websearch_to_tsquery width_bucket`,
	// What MySQL and MariaDB both have.
	// Source: https://dev.mysql.com/doc/refman/8.0/en/built-in-function-reference.html
	"mysql": `abs ascii avg bin binary bit_and bit_or ceil ceiling char_length concat concat_ws conv convert count crc32
		curdate current_date current_time current_timestamp curtime date date_add date_format date_sub datediff day dayname
		dayofmonth dayofweek dayofyear double elt exp field find_in_set first_value float floor format from_days
		from_unixtime greatest group_concat hex hour if ifnull inet_aton inet_ntoa instr isnull json_array json_contains
		json_extract json_keys json_length json_object json_quote json_remove json_replace json_search json_set json_type
		json_unquote json_valid key lag last_day last_value lcase lead least length ln localtime localtimestamp locate log
		log10 log2 lower lpad ltrim makedate maketime max md5 microsecond mid min minute mod month monthname now ntile
		octet_length partition pi position pow power quarter quote rand rank dense_rank regexp_replace repeat replace reverse
		round row_number rpad rtrim sec_to_time second sha1 sha2 sign signed sleep space sqrt std stddev str_to_date strcmp
		substr substring substring_index sum sysdate time time_format time_to_sec timediff timestampadd timestampdiff
		to_days trim truncate ucase unhex unix_timestamp unsigned upper utc_date utc_time utc_timestamp uuid variance week
		weekday weekofyear year yearweek`,
	// Source: https://sqlite.org/lang_corefunc.html and the pages beside it
	"sqlite": `abs avg ceil ceiling changes concat concat_ws conflict count cume_dist date datetime dense_rank double exp
		filter first_value float floor format glob group_concat hex ifnull iif instr json json_array json_array_length
		json_each json_extract json_group_array json_group_object json_insert json_object json_patch json_remove
		json_replace json_set json_tree json_type json_valid julianday key lag last_insert_rowid last_value lead length
		likelihood likely ln log log10 lower ltrim materialized max min mod nth_value ntile partition percent_rank pi pow
		power printf quote random rank replace round row_number rtrim sign sqrt strftime string_agg substr substring sum
		time timediff total total_changes trim trunc typeof unhex unicode unixepoch unlikely upper`,
}

// follows are words before which some keywords stand. Elsewhere they may be names of
// functions.
var follows = map[string]string{
	"by":           "group order partition",
	"conflict":     "on",
	"filter":       ")",
	"key":          "primary foreign unique duplicate",
	"materialized": "as not",
	"over":         ")",
	"partition":    "over",
}

// harmless reports whether a word that stands before a parenthesis, and behind
// another word, is a keyword, or a function that leaves no state behind.
func (f functions) harmless(word, behind string) bool {
	if _, ok := f[word]; !ok || behind == "." {
		return false
	}
	after, ok := follows[word]
	if !ok {
		return true
	}
	for each := range strings.FieldsSeq(after) {
		if each == behind {
			return true
		}
	}
	return false
}
