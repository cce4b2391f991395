package sqlstore

import (
	"fmt"
	"strings"
)

// A Dialect is the SQL of a database. The table is made by these statements, with
// the configured name; programs that manage their schema themselves copy them.
//
// PostgreSQL:
//
//	CREATE TABLE IF NOT EXISTS freshet_sessions (
//		name        text COLLATE "C" PRIMARY KEY,
//		record      bytea,
//		version     bigint NOT NULL,
//		lease_owner text NOT NULL,
//		lease_end   bigint NOT NULL
//	)
//
// MySQL and MariaDB:
//
//	CREATE TABLE IF NOT EXISTS freshet_sessions (
//		name        varbinary(255) PRIMARY KEY,
//		record      mediumblob,
//		version     bigint NOT NULL,
//		lease_owner varbinary(64) NOT NULL,
//		lease_end   bigint NOT NULL
//	) ENGINE=InnoDB
//
// SQLite (3.35 or later):
//
//	CREATE TABLE IF NOT EXISTS freshet_sessions (
//		name        text PRIMARY KEY,
//		record      blob,
//		version     integer NOT NULL,
//		lease_owner text NOT NULL,
//		lease_end   integer NOT NULL
//	)
//
// name is the key of a session and record what is kept of it, NULL while it is
// made. version counts what was written. lease_owner had the lease last, and
// lease_end is when it ends, in milliseconds since 1970 by the database's clock, or
// 0 where it was given back.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = 1 + iota
	MySQL              // and MariaDB
	SQLite
)

var dialectNames = [...]string{"unknown", "PostgreSQL", "MySQL", "SQLite"}

// String returns the dialect's name.
func (d Dialect) String() string {
	if int(d) < len(dialectNames) {
		return dialectNames[d]
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

func (d Dialect) valid() bool { return d == PostgreSQL || d == MySQL || d == SQLite }

// returning reports whether an UPDATE can return the row that it has changed.
func (d Dialect) returning() bool { return d != MySQL }

// clock is the database's time in milliseconds. It is that of the moment and not
// of a transaction's begin, and knows no daylight saving.
func (d Dialect) clock() string {
	switch d {
	case PostgreSQL:
		return `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
	case MySQL:
		return `(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(3)) DIV 1000)`
	}
	return `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`
}

// Statements are the SQL of a table; what is bound stands in the order of the
// question marks.
type statements struct {
	create string
	load   string // key
	take   string // owner, milliseconds, key, owner, over
	look   string // key
	insert string // key, owner, milliseconds
	commit string // record, key, owner, version
	wrote  string // key, owner, version
	remove string // key, owner
	free   string // key, owner
	clean  string // key, owner
	keys   string // after, how many
}

func statementsOf(d Dialect, name string) statements {
	const row = `name, CASE WHEN lease_end = 0 THEN '' ELSE lease_owner END, lease_end <> 0 AND lease_end < CLOCK, version, record IS NOT NULL, record`
	take := `UPDATE TABLE_NAME SET lease_owner = ?, lease_end = CLOCK + ? WHERE name = ? AND (lease_end = 0 OR lease_owner = ? OR lease_owner = ? AND lease_end < CLOCK)`
	if d.returning() {
		take += ` RETURNING ` + row
	}
	insert := `INSERT INTO TABLE_NAME (name, lease_owner, lease_end, version) VALUES (?, ?, CLOCK + ?, 0) ON CONFLICT (name) DO NOTHING`
	if d == MySQL {
		insert = `INSERT IGNORE INTO TABLE_NAME (name, lease_owner, lease_end, version) VALUES (?, ?, CLOCK + ?, 0)`
	}
	fill := func(s string) string { return d.fill(s, name) }
	return statements{
		create: fill(creates[d]),
		load:   fill(`SELECT name, record FROM TABLE_NAME WHERE name = ? AND record IS NOT NULL`),
		take:   fill(take),
		look:   fill(`SELECT ` + row + ` FROM TABLE_NAME WHERE name = ?`),
		insert: fill(insert),
		commit: fill(`UPDATE TABLE_NAME SET record = ?, version = version + 1, lease_end = 0 WHERE name = ? AND lease_owner = ? AND lease_end <> 0 AND version = ?`),
		wrote:  fill(`SELECT count(*) FROM TABLE_NAME WHERE name = ? AND lease_owner = ? AND lease_end = 0 AND version = ? + 1`),
		remove: fill(`DELETE FROM TABLE_NAME WHERE name = ? AND lease_owner = ? AND lease_end <> 0`),
		free:   fill(`UPDATE TABLE_NAME SET lease_end = 0 WHERE name = ? AND lease_owner = ? AND record IS NOT NULL`),
		clean:  fill(`DELETE FROM TABLE_NAME WHERE name = ? AND lease_owner = ? AND record IS NULL`),
		keys:   fill(`SELECT name FROM TABLE_NAME WHERE name > ? AND record IS NOT NULL ORDER BY name LIMIT ?`),
	}
}

// creates are the statements that make the table; the comment on Dialect shows
// them.
var creates = map[Dialect]string{
	PostgreSQL: `CREATE TABLE IF NOT EXISTS TABLE_NAME (
	name        text COLLATE "C" PRIMARY KEY,
	record      bytea,
	version     bigint NOT NULL,
	lease_owner text NOT NULL,
	lease_end   bigint NOT NULL
)`,
	MySQL: `CREATE TABLE IF NOT EXISTS TABLE_NAME (
	name        varbinary(255) PRIMARY KEY,
	record      mediumblob,
	version     bigint NOT NULL,
	lease_owner varbinary(64) NOT NULL,
	lease_end   bigint NOT NULL
) ENGINE=InnoDB`,
	SQLite: `CREATE TABLE IF NOT EXISTS TABLE_NAME (
	name        text PRIMARY KEY,
	record      blob,
	version     integer NOT NULL,
	lease_owner text NOT NULL,
	lease_end   integer NOT NULL
)`,
}

// fill puts the table's name and the clock into a statement, and for PostgreSQL
// numbers what is bound.
func (d Dialect) fill(statement, name string) string {
	statement = strings.NewReplacer("TABLE_NAME", name, "CLOCK", d.clock()).Replace(statement)
	if d != PostgreSQL {
		return statement
	}
	parts := strings.Split(statement, "?")
	numbered := parts[0]
	for i, part := range parts[1:] {
		numbered += fmt.Sprintf("$%d%s", i+1, part)
	}
	return numbered
}
