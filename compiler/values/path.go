// SPDX-License-Identifier: Apache-2.0

package values

import (
	"fmt"
	"strconv"
	"strings"
)

// Join adds a name to a path as CUE writes it: a name that is no identifier is
// quoted, nodeSelector."kubernetes.io/os".
func Join(path, name string) string {
	if !isIdentifier(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func isIdentifier(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func isQuoted(name string) bool { return strings.HasPrefix(name, `"`) }

// show puts a path into a message: in quotes, unless it has quotes of its own.
func show(path string) string {
	if strings.Contains(path, `"`) {
		return path
	}
	return strconv.Quote(path)
}

// Split is the inverse of Join over all the names of a path.
func Split(path string) ([]string, error) {
	var names []string
	for rest := path; ; {
		name, after, err := cutName(rest)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", path, err)
		}
		names = append(names, name)
		if after == "" {
			return names, nil
		}
		rest = after[1:]
	}
}

// cutName cuts the first name off a path; after is "" or starts with a dot.
func cutName(path string) (name, after string, err error) {
	if strings.HasPrefix(path, `"`) {
		quoted, err := strconv.QuotedPrefix(path)
		if err != nil {
			return "", "", fmt.Errorf("unclosed quote")
		}
		if name, err = strconv.Unquote(quoted); err != nil {
			return "", "", fmt.Errorf("bad quotes")
		}
		after = path[len(quoted):]
	} else {
		i := strings.IndexByte(path, '.')
		if i < 0 {
			i = len(path)
		}
		name, after = path[:i], path[i:]
	}
	if name == "" || after != "" && after[0] != '.' {
		return "", "", fmt.Errorf("want names with dots between")
	}
	return name, after, nil
}
