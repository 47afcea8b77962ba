// Command verify reads a C2SP tlog-tiles directory as it lies, with the packages by which Go checks its own checksum
// database (golang.org/x/mod/sumdb/note and tlog). It derives the tree from the entries, compares every tile with it, and
// checks the checkpoint's signature. Nothing in it was written for this log.
//
//	verify DIRECTORY [VERIFIER_KEY]
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	log := tiles{args[0]}
	vkey, err := os.ReadFile(filepath.Join(log.dir, "log.vkey"))
	if len(args) > 1 {
		vkey, err = []byte(args[1]), nil
	}
	if err != nil {
		return err
	}
	origin, tree, err := checkpoint(log.dir, strings.TrimSpace(string(vkey)))
	if err != nil {
		return err
	}
	// All hashes of the tree, in the order in which tlog stores them, out of the entries alone.
	var derived hashes
	err = log.entries(tree.N, func(index int64, entry []byte) error {
		more, err := tlog.StoredHashes(index, entry, &derived)
		derived = append(derived, more...)
		return err
	})
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(tree.N, &derived)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the entries have the root %v, and %v was signed", root, tree.Hash)
	}
	// What tlog reads from the tiles it compares with the signed root.
	published := tlog.TileHashReader(tree, log)
	for first := int64(0); first < tree.N; first += 256 {
		var wanted []int64
		for index := first; index < min(first+256, tree.N); index++ {
			wanted = append(wanted, tlog.StoredHashIndex(0, index))
		}
		found, err := published.ReadHashes(wanted)
		if err != nil {
			return fmt.Errorf("records from %d on: %w", first, err)
		}
		for at, hash := range found {
			if hash != derived[wanted[at]] {
				return fmt.Errorf("record %d is another one in the tiles than in the entries", first+int64(at))
			}
		}
	}
	for _, index := range []int64{0, tree.N / 2, tree.N - 1} {
		proof, err := tlog.ProveRecord(tree.N, index, published)
		if err == nil {
			err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, derived[tlog.StoredHashIndex(0, index)])
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"origin": origin, "size": tree.N, "root": root.String()})
}

// checkpoint opens the signed note and reads the tree head in it.
func checkpoint(dir, vkey string) (string, tlog.Tree, error) {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", tlog.Tree{}, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return "", tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return "", tlog.Tree{}, errors.New("the note is no checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 {
		return "", tlog.Tree{}, errors.New("the checkpoint has no size")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return "", tlog.Tree{}, errors.New("the checkpoint has no root")
	}
	return lines[0], tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

type hashes []tlog.Hash

func (all *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, 0, len(indexes))
	for _, index := range indexes {
		if index >= int64(len(*all)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found = append(found, (*all)[index])
	}
	return found, nil
}

type tiles struct{ dir string }

func (tiles) Height() int { return 8 }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (log tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		data, err := log.read(tile)
		if err == nil && len(data) < tile.W*tlog.HashSize {
			err = fmt.Errorf("%s is too short", tile.Path())
		}
		if err != nil {
			return nil, err
		}
		read = append(read, data[:tile.W*tlog.HashSize])
	}
	return read, nil
}

// entries hands on every entry of a tree of so many.
func (log tiles) entries(size int64, each func(int64, []byte) error) error {
	for first := int64(0); first < size; first += 256 {
		width := int(min(size-first, 256))
		bundle, err := log.read(tlog.Tile{H: 8, L: -1, N: first / 256, W: width})
		if err != nil {
			return err
		}
		for at := range width {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("the entries end before record %d", first+int64(at))
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if err := each(first+int64(at), bytes.Clone(bundle[2:end])); err != nil {
				return err
			}
			bundle = bundle[end:]
		}
	}
	return nil
}

// read finds a tile under its C2SP name; a partial one may have become full meanwhile.
func (log tiles) read(tile tlog.Tile) ([]byte, error) {
	name := func(tile tlog.Tile) string {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		return filepath.Join(log.dir, strings.Replace(path, "tile/data/", "tile/entries/", 1))
	}
	data, err := os.ReadFile(name(tile))
	if errors.Is(err, fs.ErrNotExist) {
		tile.W = 256
		data, err = os.ReadFile(name(tile))
	}
	return data, err
}
