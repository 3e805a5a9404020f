// Package cli is how the commands are written, and what they say of themselves.
package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// NoCommand is what "lease" does without a command, or with one that isn't there.
func NoCommand(root *cobra.Command, args []string) error {
	const seeList = `"lease -h" has a list`
	if len(args) == 0 {
		return exit.Usagef("no command; " + seeList)
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return exit.Usagef("no command %q: is it %s? %s", args[0], strings.Join(near, ", or "), seeList)
	}
	return exit.Usagef("no command %q; %s", args[0], seeList)
}

// find returns the command of that name; root itself if there is no name.
func find(root *cobra.Command, name []string) (*cobra.Command, error) {
	found, rest, err := root.Find(name)
	if err != nil || found == root && len(rest) > 0 {
		return nil, NoCommand(root, name)
	}
	if len(rest) > 0 {
		return nil, exit.Usagef("want one command, and got %q", name)
	}
	return found, nil
}

// helpCommand shows the help of a command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "what a command does",
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			of, err := find(c.Root(), args)
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

// Dress has errors be this program's, and helps be short.
func Dress(root *cobra.Command) {
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SuggestionsMinimumDistance = 2
	root.DisableAutoGenTag = true
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	dressCompletion(subcommand(root, "completion"))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit.Usagef(`%v; see "%s -h"`, oneDash(err), c.CommandPath())
	})
	root.SetHelpTemplate(helpTemplate)
	root.SetVersionTemplate("{{.Version}}\n")
}

// dressCompletion has it speak as the other commands do.
func dressCompletion(c *cobra.Command) {
	c.Use = "completion bash|zsh|fish|powershell"
	c.Short = "what makes a shell complete commands and flags"
	c.Long = "Writes what makes a shell complete commands and flags. bash needs its package\nbash-completion."
	c.Example = "source <(lease completion bash)"
	c.Annotations = map[string]string{elsewhere: "true"}
	c.DisableFlagsInUseLine = true
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(_ *cobra.Command, args []string) error {
		return exit.Usagef("for which shell, %q? bash, zsh, fish or powershell", args)
	}
}

func init() {
	cobra.AddTemplateFunc("flagsOf", flagsOf)
	cobra.AddTemplateFunc("isListed", func(c *cobra.Command) bool {
		return c.IsAvailableCommand() && c.Annotations[elsewhere] == ""
	})
}

const helpTemplate = `Usage: {{.UseLine}}

{{or .Long .Short}}
{{if .HasAvailableSubCommands}}
{{range .Commands}}{{if isListed .}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}{{end}}{{with flagsOf .LocalFlags}}
{{.}}{{end}}{{if .HasInheritedFlags}}
  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"
{{end}}{{with .Example}}
Example: {{.}}
{{end}}`

// flagsOf lists flags, with what they are for.
func flagsOf(flags *pflag.FlagSet) string {
	const screen = 79 // columns
	var names, usages []string
	width := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if isLeftOut(f) {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "  -" + cmp.Or(f.Shorthand, f.Name) + " " + value
		names = append(names, name)
		usages = append(usages, usage)
		width = max(width, len(name)+say.Gap)
	})
	var b strings.Builder
	for n, name := range names {
		for line := range strings.Lines(ansi.Wordwrap(usages[n], screen-width, "")) {
			fmt.Fprintf(&b, "%-*s%s\n", width, name, strings.TrimSpace(line))
			name = ""
		}
	}
	return b.String()
}

// elsewhere is set of flags and commands that the help of another one explains: there is room for 24
// lines.
const elsewhere = "elsewhere"

// ExplainElsewhere leaves flags out of the help: shells complete them, and manuals have them.
func ExplainElsewhere(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flags.SetAnnotation(name, elsewhere, nil)
	}
}

func isLeftOut(f *pflag.Flag) bool {
	_, isElsewhere := f.Annotations[elsewhere]
	return isElsewhere || f.Hidden || f.Name == "help" || f.Name == "version"
}

// SetArgs has a command be run with these arguments, whose flags have one dash or two. Where a shell
// asks what may follow, and the last one has one, the answers have one too.
func SetArgs(root *cobra.Command, args []string) {
	asks := len(args) > 1 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
	if !asks {
		root.SetArgs(WithTwoDashes(root, args))
		return
	}
	before, last := args[1:len(args)-1], args[len(args)-1]
	answer := answers{Writer: os.Stdout}
	answer.hasOneDash = strings.HasPrefix(last, "-") && !strings.HasPrefix(last, "--")
	if answer.hasOneDash {
		last = "-" + last
	}
	root.SetOut(answer)
	root.SetArgs(slices.Concat(args[:1], WithTwoDashes(root, before), []string{last}))
}

// answers writes what shells are answered, a line at a time, without the marks of values in what flags
// are for.
type answers struct {
	io.Writer
	hasOneDash bool
}

func (w answers) Write(line []byte) (int, error) {
	text := string(line)
	if strings.HasPrefix(text, "--") {
		text = strings.ReplaceAll(text, "`", "")
	}
	if w.hasOneDash {
		text = strings.TrimPrefix(text, "-")
	}
	if _, err := io.WriteString(w.Writer, text); err != nil {
		return 0, err
	}
	return len(line), nil
}

// WithTwoDashes returns arguments as cobra takes them: -table, as documents and scripts have it, is
// --table. What follows on "--" is left alone; so is what follows on the first argument of a
// command that runs another one.
func WithTwoDashes(root *cobra.Command, args []string) []string {
	args = slices.Clone(args)
	c := root
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			if sub := subcommand(c, args[i]); sub != nil {
				c = sub
				continue
			}
			if IsVerbatim(c) {
				break
			}
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, _, hasValue := strings.Cut(name, "=")
		if len(name) < 2 {
			continue
		}
		args[i] = "--" + strings.TrimLeft(args[i], "-")
		f := Lookup(c, name)
		takesNext := f != nil && !hasValue && f.NoOptDefVal == ""
		if takesNext {
			i++
		}
	}
	return args
}

func subcommand(c *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
	if i < 0 {
		return nil
	}
	return c.Commands()[i]
}

func Lookup(c *cobra.Command, name string) *pflag.Flag {
	return cmp.Or(c.Flags().Lookup(name), c.PersistentFlags().Lookup(name), c.Root().PersistentFlags().Lookup(name))
}

const Verbatim = "verbatim"

// IsVerbatim tells of a command after whose first argument no flag is its own.
func IsVerbatim(c *cobra.Command) bool { return c.Annotations[Verbatim] != "" }

// parsing is how the standard library says that a text is no number.
var parsing = regexp.MustCompile(`strconv\.Parse\w+: parsing .*`)

// shorthand is how pflag says that there is no flag of one letter.
var shorthand = regexp.MustCompile(`unknown shorthand flag: '.' in `)

// oneDash writes flags in an error as documents and scripts have them.
func oneDash(err error) string {
	text := strings.NewReplacer(`"--`, `"-`, ` --`, ` -`).Replace(err.Error())
	text = shorthand.ReplaceAllString(text, "unknown flag: ")
	text = parsing.ReplaceAllString(text, "want a number")
	if strings.Contains(text, "missing unit in duration") {
		text += ": want 30s, or 5m"
	}
	return text
}

// NoArguments refuses arguments.
func NoArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return exit.Usagef("%s takes no arguments, and got %q", c.Name(), args)
}

// IsGiven tells whether a flag was given, be it empty.
func IsGiven(c *cobra.Command, name string) bool { return c.Flags().Changed(name) }

// Version is that of this program's module, and its commit where it is known.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(text, s.Value[:min(12, len(s.Value))]) {
			text += " " + s.Value
		}
	}
	return text + " " + info.GoVersion
}

func VersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "which version this is",
		Long:    "Says which version of the program this is, of which commit and Go.",
		Example: "lease version",

		Annotations: map[string]string{elsewhere: "true"},
		Args:        NoArguments,
		RunE:        func(*cobra.Command, []string) error { return say.Printf("%s\n", Version()) },
	}
}

// ManCommand writes manual pages, of the commands themselves.
func ManCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man [COMMAND]",
		Short:   "a manual page",
		Long:    "Writes the manual page of a command, or of lease, which lists the commands.",
		Example: "lease man hold | man -l -",

		Annotations: map[string]string{elsewhere: "true"},
		RunE: func(c *cobra.Command, args []string) error {
			of, err := find(c.Root(), args)
			if err != nil {
				return err
			}
			forget := func(f *pflag.Flag) { f.DefValue = "" } // It may be of this environment.
			of.Flags().VisitAll(forget)
			of.InheritedFlags().VisitAll(forget)
			of.PersistentFlags().VisitAll(forget)
			of.Long = withCommands(of)
			return doc.GenMan(of, &doc.GenManHeader{Section: "1", Source: Version()}, os.Stdout)
		},
	}
}

// withCommands is what a command does, and those that belong to it, as a manual has them.
func withCommands(c *cobra.Command) string {
	text := c.Long + "\n"
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			text += fmt.Sprintf("\n* **%s**: %s", sub.Name(), sub.Short)
		}
	}
	return text
}
