//go:build unix

package testserver

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

func mariadb(home string) (*recipe, error) {
	installer, err := find("mariadb-install-db", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return nil, err
	}
	server, err := find("mariadbd", "/usr/sbin", "/usr/libexec", "/usr/local/sbin")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	return &recipe{
		user: "mysql",
		data: data,
		install: []string{
			installer, "--no-defaults", "--datadir=" + data, "--tmpdir=" + home,
			"--auth-root-authentication-method=normal", "--skip-name-resolve", "--skip-test-db",
		},
		serve: []string{
			server, "--no-defaults", "--datadir=" + data, "--tmpdir=" + home,
			"--bind-address=127.0.0.1",
			"--socket=mariadb.sock", // in the data folder; absolute paths may be too long
			"--pid-file=" + filepath.Join(home, "pid"),
			"--skip-name-resolve",
			"--character-set-server=utf8mb4",
			"--max-connections=200",
			"--innodb-flush-log-at-trx-commit=0",
			"--innodb-doublewrite=0",
			"--sync-binlog=0",
		},
		port:    "--port=",
		url:     "mysql://root@127.0.0.1:%d/",
		dataOf:  mariadbData,
		stop:    syscall.SIGTERM,
		orphans: syscall.SIGKILL,
	}, nil
}

func mariadbData(ctx context.Context, address string) (dir string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = u.User.Username(), "tcp", u.Host
	cfg.Logger = &mysql.NopLogger{} // a server that is not up yet is no news
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir); err != nil {
		return "", err
	}
	return filepath.Clean(dir), nil
}
