package admin

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// viewRoutes are the rows about saved filters, and about what the page remembers for an operator.
func (a *Admin) viewRoutes() []route {
	return []route{
		{method: "GET", pattern: "views", audience: signedInTo, handle: a.listViews},
		{method: "POST", pattern: "views", audience: signedInTo, body: true, idempotent: true, action: "view.create", handle: a.createView},
		{method: "PUT", pattern: "views/{view}", audience: signedInTo, body: true, match: true, action: "view.update", handle: a.changeView},
		{method: "DELETE", pattern: "views/{view}", audience: signedInTo, match: true, action: "view.delete", handle: a.deleteView},
		{method: "GET", pattern: "me/preferences", audience: signedInTo, reach: pageSelf, handle: a.showPreferences},
		{method: "PUT", pattern: "me/preferences", audience: signedInTo, reach: pageSelf, body: true, match: true, action: "preferences.update", handle: a.changePreferences},
	}
}

const (
	maxViews       = 200 // of an operator
	maxViewText    = 4096
	maxColumns     = 64
	maxPreferences = 16 << 10
)

// view is a saved filter as the API shows it.
type view struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Page      string      `json:"page"` // the list that it is of, such as "tenants"
	Filter    string      `json:"filter"`
	Sort      string      `json:"sort"`
	Columns   []string    `json:"columns"`
	Shared    bool        `json:"shared"`
	Mine      bool        `json:"mine"`
	Owner     operatorRef `json:"owner"`
	Version   int64       `json:"version"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// viewInput is what an operator saves.
type viewInput struct {
	Name    string   `json:"name"`
	Page    string   `json:"page"`
	Filter  string   `json:"filter"`
	Sort    string   `json:"sort"`
	Columns []string `json:"columns"`
	Shared  bool     `json:"shared"`
}

type viewRow struct {
	ID        string `db:"id"`
	Operator  string `db:"operator_id"`
	Name      string `db:"name"`
	Page      string `db:"page"`
	Filter    string `db:"filter"`
	Columns   string `db:"column_list"`
	Sort      string `db:"sort"`
	Shared    int64  `db:"shared"`
	Scope     string `db:"scope"`
	Version   int64  `db:"version"`
	UpdatedAt int64  `db:"updated_at"`
}

const viewColumns = `id, operator_id, name, page, filter, column_list, sort, shared, scope, version, updated_at`

// isWord reports whether s is the name of a column or a page: 1 to 64 lower-case letters, digits and - _ . that begin with a letter
func isWord(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}

func isText(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// check refuses what is no view.
func (in *viewInput) check(c *call) error {
	in.Name = strings.TrimSpace(in.Name)
	if in.Page == "" {
		in.Page = "tenants"
	}
	switch {
	case in.Name == "" || !isText(in.Name, 200):
		return invalidField("name", "Want a name of up to 200 bytes.")
	case !isWord(in.Page) || len(in.Page) > 32:
		return invalidField("page", "This is no name of a list.")
	case in.Sort != "" && (!isWord(strings.TrimPrefix(in.Sort, "-")) || len(in.Sort) > 64): // as long as the column
		return invalidField("sort", "This is no name of a column.")
	case len(in.Columns) > maxColumns || slices.ContainsFunc(in.Columns, func(s string) bool { return !isWord(s) }):
		return invalidField("columns", "Want up to 64 names of columns.")
	case !isText(in.Filter, maxViewText):
		return invalidField("filter", "Want a filter of up to 4,096 bytes.")
	}
	if in.Page != "tenants" { // other lists have filters of their own
		return nil
	}
	_, err := c.filter(in.Filter, "/filter", analytics.Fields()...)
	return err
}

// seenBy reports whether the operator may see the view. One that somebody with a wider scope has shared may name tenants that are not this
// operator's business.
func (r *viewRow) seenBy(c *call) (bool, error) {
	if r.Operator == c.id.Operator.ID {
		return true, nil
	}
	var scope tenancy.Scope
	err := json.Unmarshal([]byte(r.Scope), &scope)
	return r.Shared != 0 && auth.Covers(c.id.Scope, scope), err
}

// viewOf returns the view as the operator may see it, or false.
func (a *Admin) viewOf(c *call, r *viewRow, owners map[string]operatorRef) (view, bool, error) {
	out := view{ID: r.ID, Name: r.Name, Page: r.Page, Filter: r.Filter, Sort: r.Sort, Columns: []string{}, Shared: r.Shared != 0, Mine: r.Operator == c.id.Operator.ID,
		Version: r.Version, UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC()}
	seen, err := r.seenBy(c)
	if err := errors.Join(err, json.Unmarshal([]byte(r.Columns), &out.Columns)); err != nil || !seen {
		return view{}, false, err
	}
	owner, known := owners[r.Operator]
	if !known {
		owner = operatorRef{ID: r.Operator}
		if out.Mine {
			owner = refOf(c.id.Operator)
		} else if o, err := a.auth.Operator(c.ctx(), r.Operator); err == nil {
			owner = refOf(o)
		}
		owners[r.Operator] = owner
	}
	out.Owner = owner
	return out, true, nil
}

// maxViewsShown is how many views of others a list has.
const maxViewsShown = 1000

// listViews answers with the operator's own views and those that others share with them. Views that the operator may not see take no place
// of those that they may.
func (a *Admin) listViews(c *call) error {
	out, owners, others := []view{}, map[string]operatorRef{}, 0
	rows, err := a.db.QueryxContext(c.ctx(), a.dialect.Rebind(`SELECT `+viewColumns+` FROM tenancy_admin_views WHERE operator_id = ? OR shared = 1 ORDER BY name, id`), c.id.Operator.ID)
	if err != nil {
		return unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var found []viewRow
	for rows.Next() {
		var row viewRow
		if err := rows.StructScan(&row); err != nil {
			return unavailable(err)
		}
		mine := row.Operator == c.id.Operator.ID
		if seen, err := row.seenBy(c); err != nil {
			return err
		} else if !seen || !mine && others == maxViewsShown {
			continue
		}
		if !mine {
			others++
		}
		found = append(found, row)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return unavailable(err)
	}
	for i := range found { // a connection of its own asks for the owners
		v, _, err := a.viewOf(c, &found[i], owners)
		if err != nil {
			return err
		}
		out = append(out, v)
	}
	return c.reply(http.StatusOK, map[string]any{"views": out})
}

// readView returns the view with that ID on a connection or in a transaction. One that the operator may not see is not found.
func (a *Admin) readView(c *call, on sqlx.QueryerContext, id string) (*viewRow, view, error) {
	var row viewRow
	if tenancy.ID(id).Validate() != nil {
		return nil, view{}, fmt.Errorf("%w: view %.80q", tenancy.ErrNotFound, id)
	}
	err := sqlx.GetContext(c.ctx(), on, &row, a.dialect.Rebind(`SELECT `+viewColumns+` FROM tenancy_admin_views WHERE id = ?`), id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, view{}, fmt.Errorf("%w: view %s", tenancy.ErrNotFound, id)
	}
	if err != nil {
		return nil, view{}, unavailable(err)
	}
	v, ok, err := a.viewOf(c, &row, map[string]operatorRef{})
	if err == nil && !ok {
		err = fmt.Errorf("%w: view %s", tenancy.ErrNotFound, id)
	}
	return &row, v, err
}

// inTx does something within a transaction of the console's database, with an entry of the audit.
func (a *Admin) inTx(c *call, object string, do func(tx *sqlx.Tx) error) error {
	return unavailable(sqlkit.Tx(c.ctx(), a.db, nil, func(tx *sqlx.Tx) error {
		if err := do(tx); err != nil || a.opts.Audit == nil {
			return err
		}
		e := tenancy.NewEntry(c.ctx(), c.row.action, "")
		e.Object = object
		return a.opts.Audit.Audit(c.ctx(), tx.Tx, e)
	}))
}

func (a *Admin) createView(c *call) error {
	var in viewInput
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := in.check(c); err != nil {
		return err
	}
	var n int
	if err := a.db.GetContext(c.ctx(), &n, a.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_admin_views WHERE operator_id = ?`), c.id.Operator.ID); err != nil {
		return unavailable(err)
	}
	if n >= maxViews { // about: several at once may exceed it by a few
		return &stateError{fmt.Sprintf("There are %d views. Delete one first.", n), fmt.Errorf("%w: %d views of the operator", tenancy.ErrConflict, n)}
	}
	columns, scope, err := in.texts(c)
	if err != nil {
		return err
	}
	id := string(tenancy.NewID())
	err = a.inTx(c, id, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(c.ctx(), a.dialect.Rebind(`INSERT INTO tenancy_admin_views (`+viewColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`),
			id, c.id.Operator.ID, in.Name, in.Page, in.Filter, columns, in.Sort, flag(in.Shared), scope, time.Now().UnixMicro())
		return err
	})
	if err != nil {
		return err
	}
	_, v, err := a.readView(c, a.db, id)
	if err != nil {
		return err
	}
	c.setLocation("views/" + id)
	c.setVersion(v.Version)
	return c.reply(http.StatusCreated, v)
}

// texts returns the columns, and the scope of the operator, as they are kept.
func (in *viewInput) texts(c *call) (columns, scope string, err error) {
	b1, err1 := json.Marshal(append([]string{}, in.Columns...))
	b2, err2 := json.Marshal(c.id.Scope)
	return string(b1), string(b2), errors.Join(err1, err2)
}

func flag(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// ownView returns the view in the path if it is the operator's own, and the version that the client has read.
func (a *Admin) ownView(c *call) (*viewRow, error) {
	row, v, err := a.readView(c, a.db, c.r.PathValue("view"))
	if err == nil && !v.Mine {
		err = fmt.Errorf("%w: the view is another operator's", tenancy.ErrForbidden)
	}
	if err == nil {
		err = c.ifMatch(row.Version)
	}
	return row, err
}

// errViewChanged says that a view changed between the reading and the writing of a request.
var errViewChanged = problem.New(problem.Precondition, fmt.Errorf("%w: the view has changed", tenancy.ErrConflict))

func (a *Admin) changeView(c *call) error {
	var in viewInput
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := in.check(c); err != nil {
		return err
	}
	row, err := a.ownView(c)
	if err != nil {
		return err
	}
	columns, scope, err := in.texts(c)
	if err != nil {
		return err
	}
	err = a.inTx(c, row.ID, func(tx *sqlx.Tx) error {
		res, err := tx.ExecContext(c.ctx(), a.dialect.Rebind(`UPDATE tenancy_admin_views SET name = ?, page = ?, filter = ?, column_list = ?, sort = ?, shared = ?, scope = ?, version = version + 1, updated_at = ?
			WHERE id = ? AND version = ?`), in.Name, in.Page, in.Filter, columns, in.Sort, flag(in.Shared), scope, time.Now().UnixMicro(), row.ID, row.Version)
		return one(res, err)
	})
	if err != nil {
		return err
	}
	_, v, err := a.readView(c, a.db, row.ID)
	if err != nil {
		return err
	}
	c.setVersion(v.Version)
	return c.reply(http.StatusOK, v)
}

// one makes a statement that met no row an error.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errViewChanged)
	}
	return nil
}

func (a *Admin) deleteView(c *call) error {
	row, err := a.ownView(c)
	if err != nil {
		return err
	}
	err = a.inTx(c, row.ID, func(tx *sqlx.Tx) error {
		res, err := tx.ExecContext(c.ctx(), a.dialect.Rebind(`DELETE FROM tenancy_admin_views WHERE id = ? AND version = ?`), row.ID, row.Version)
		return one(res, err)
	})
	if err != nil {
		return err
	}
	return c.noContent()
}

// preferences returns what the page remembers for the operator, and its version, which is 0 if there is nothing.
func (a *Admin) preferences(c *call) (body string, version int64, err error) {
	var row struct {
		Body    string `db:"body"`
		Version int64  `db:"version"`
	}
	err = a.db.GetContext(c.ctx(), &row, a.dialect.Rebind(`SELECT body, version FROM tenancy_admin_preferences WHERE operator_id = ?`), c.id.Operator.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return "{}", 0, nil
	}
	return row.Body, row.Version, unavailable(err)
}

func (a *Admin) showPreferences(c *call) error {
	body, version, err := a.preferences(c)
	if err != nil {
		return err
	}
	c.setVersion(version)
	return c.reply(http.StatusOK, json.RawMessage(body))
}

// changePreferences keeps what the page sends. Nothing on the server goes by it, so it leaves no entry in the audit.
func (a *Admin) changePreferences(c *call) error {
	var in map[string]json.RawMessage
	if err := c.decode(&in); err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil || len(body) > maxPreferences {
		return invalidField("", "Want an object of up to 16 KiB.")
	}
	_, version, err := a.preferences(c)
	if err == nil {
		err = c.ifMatch(version)
	}
	if err != nil {
		return err
	}
	var res sql.Result
	if version == 0 {
		res, err = a.db.ExecContext(c.ctx(), a.dialect.Rebind(`INSERT INTO tenancy_admin_preferences (operator_id, body, version) VALUES (?, ?, 1)`), c.id.Operator.ID, string(body))
		if sqlkit.IsUnique(err) {
			err = errViewChanged
		}
	} else {
		res, err = a.db.ExecContext(c.ctx(), a.dialect.Rebind(`UPDATE tenancy_admin_preferences SET body = ?, version = version + 1 WHERE operator_id = ? AND version = ?`), string(body), c.id.Operator.ID, version)
	}
	if err = one(res, err); err != nil {
		return unavailable(err)
	}
	c.setVersion(version + 1)
	return c.reply(http.StatusOK, json.RawMessage(body))
}
