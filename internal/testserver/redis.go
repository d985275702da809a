//go:build unix

package testserver

import (
	"context"
	"path/filepath"
	"syscall"

	"github.com/redis/rueidis"
)

func redis(home string) (*recipe, error) {
	server, err := find("redis-server", "/usr/bin", "/usr/local/bin")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	return &recipe{
		user:    "redis",
		data:    data,
		install: []string{"mkdir", data},
		serve: []string{
			server,
			"--bind", "127.0.0.1",
			"--dir", data,
			"--save", "",
			"--appendonly", "no",
			"--set-proc-title", "no", // StopDetached looks for the folder there
		},
		ports:   []string{"--port "}, // Redis takes an option and its value in one argument too
		url:     "redis://127.0.0.1:%d",
		dataOf:  redisData,
		stop:    syscall.SIGTERM,
		orphans: syscall.SIGKILL,
	}, nil
}

func redisData(ctx context.Context, url string) (string, error) {
	opts, err := rueidis.ParseURL(url)
	if err != nil {
		return "", err
	}
	opts.ForceSingleClient, opts.DisableCache, opts.Dialer.Timeout = true, true, askTimeout
	client, err := rueidis.NewClient(opts)
	if err != nil {
		return "", err
	}
	defer client.Close()
	got, err := client.Do(ctx, client.B().ConfigGet().Parameter("dir").Build()).AsStrMap()
	return got["dir"], err
}
