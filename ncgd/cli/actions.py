"""NCG's own flags, which are actions: ``ncgctl --verify --kubeconfig FILE`` is ``ncgctl verify --kubeconfig FILE``."""

import click

ACTIONS = {
    "--verify": "verify",
    "--install": "install",
    "--uninstall": "uninstall",
    "-e": "enable",
    "--enable-ncg-on-existing-cluster": "enable",
}
"""Flag to command."""
SECTIONS = {
    "The gateway of a cluster": ("verify", "install", "uninstall", "enable"),
    "Where ncgd runs: a gateway's node, or any host": ("status", "get", "explain"),
}
"""The commands, as a person meets them."""


class Actions(click.Group):
    """A group of commands, some of which may also be given as a flag, anywhere on the line."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the command that a flag stands for in front. Raises UsageError for two of them."""
        given = [each for each in args if each in ACTIONS]
        if given and not any(each in self.commands for each in args):
            if len(set(map(ACTIONS.__getitem__, given))) > 1:
                raise click.UsageError(f"{' and '.join(given)}: one thing at a time", context)
            args = [ACTIONS[given[0]], *(each for each in args if each not in ACTIONS)]
        return super().parse_args(context, args)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, the flags that are commands too, then the options."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(100)) for name in names])
        with formatter.section("NCG's own flags, with the same options"):
            flags: dict[str, list[str]] = {}
            for flag, command in ACTIONS.items():
                flags.setdefault(command, []).append(flag)
            formatter.write_dl([(command, ", ".join(given)) for command, given in flags.items()])
        click.Command.format_options(self, context, formatter)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """As it is written."""
        formatter.write(f"\n{self.epilog or ''}\n")
