// Package zzglob has what buildkite-agent asks of drjosh.dev/zzglob, for plain names and the globs of filepath.Match:
// enough for jobs that upload single files. With it the agent can be built where that module cannot be had.
package zzglob

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
)

// Pattern is a file name, or a glob as filepath.Match knows them.
type Pattern struct{ text string }

// Option is accepted wherever the agent gives one, and changes nothing: links and tildes don't occur.
type Option struct{}

func ExpandTilde(bool) Option          { return Option{} }
func TraverseSymlinks(bool) Option     { return Option{} }
func WalkIntermediateDirs(bool) Option { return Option{} }

// Parse fails for what filepath.Match can't read.
func Parse(text string, _ ...Option) (*Pattern, error) {
	_, err := filepath.Match(text, "")
	return &Pattern{text}, err
}

func (p *Pattern) Match(path string) bool {
	matches, _ := filepath.Match(p.text, path)
	return matches
}

func (p *Pattern) Glob(walk fs.WalkDirFunc, _ ...Option) error {
	names, err := filepath.Glob(p.text)
	for _, name := range names {
		info, missing := os.Stat(name)
		if missing != nil {
			return walk(name, nil, missing)
		}
		if err := walk(name, fs.FileInfoToDirEntry(info), nil); err != nil {
			return err
		}
	}
	return err
}

func MultiGlob(_ context.Context, patterns []*Pattern, walk fs.WalkDirFunc, options ...Option) error {
	for _, pattern := range patterns {
		if err := pattern.Glob(walk, options...); err != nil {
			return err
		}
	}
	return nil
}
