//go:build unix

package testserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	install := []string{
		installer, "--no-defaults", "--datadir=" + data, "--tmpdir=" + home,
		"--auth-root-authentication-method=normal", "--skip-name-resolve", "--skip-test-db",
	}
	return &recipe{
		user:    "mysql",
		data:    data,
		install: install,
		serve: []string{
			server, "--no-defaults", "--datadir=" + data, "--tmpdir=" + home,
			"--bind-address=127.0.0.1",
			"--socket=mariadb.sock", // in the data folder; absolute paths may be too long
			"--pid-file=" + filepath.Join(home, "pid"),
			"--skip-name-resolve",
			"--character-set-server=utf8mb4",
			"--default-time-zone=+05:45", // that nothing is right because all is UTC
			"--max-connections=200",
			"--innodb-flush-log-at-trx-commit=0",
			"--innodb-doublewrite=0",
			"--sync-binlog=0",
		},
		durable: []string{"--innodb-flush-log-at-trx-commit=2"},
		// What is in the binary log must not be lost in the tables when the
		// process is killed, so these are written at each commit.
		primary: []string{"--log-bin=binlog", "--log-slave-updates", "--innodb-flush-log-at-trx-commit=2"},
		replica: []string{"--relay-log=relay", "--innodb-flush-log-at-trx-commit=2"},
		ports:   []string{"--port=", "--server-id="},
		url:     "mysql://root@127.0.0.1:%d/",
		dataOf:  mariadbData,
		copyOf:  func(*Server) []string { return install }, // its log holds everything
		follow:  mariadbFollow,
		stop:    syscall.SIGTERM,
		orphans: syscall.SIGKILL,
	}, nil
}

func mariadbData(ctx context.Context, address string) (dir string, err error) {
	db, err := mariadbOpen(address)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir); err != nil {
		return "", err
	}
	return filepath.Clean(dir), nil
}

// mariadbFollow makes an empty server a replica, from the beginning of the
// primary's log, and waits until it has what the primary has now.
func mariadbFollow(ctx context.Context, address string, primary *Server) error {
	source, err := mariadbOpen(primary.URL)
	if err != nil {
		return err
	}
	defer source.Close()
	var position string
	if err := source.QueryRowContext(ctx, "SELECT @@gtid_current_pos").Scan(&position); err != nil {
		return err
	}
	db, err := mariadbOpen(address)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{
		fmt.Sprintf("CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='root', "+
			"master_connect_retry=1, master_use_gtid=slave_pos", primary.port),
		"START SLAVE",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	var reached int
	err = db.QueryRowContext(ctx, "SELECT MASTER_GTID_WAIT(?, ?)", position, startTimeout.Seconds()).Scan(&reached)
	if err == nil && reached != 0 {
		err = errors.New("replication does not get on")
	}
	return err
}

func mariadbOpen(address string) (*sql.DB, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = u.User.Username(), "tcp", u.Host
	cfg.Logger = &mysql.NopLogger{} // a server that is not up yet is no news
	cfg.InterpolateParams = true
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
