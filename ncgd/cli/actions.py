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


class Actions(click.Group):
    """A group of commands, each of which may also be given as a flag, anywhere on the line."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the command that a flag stands for in front. Raises UsageError for two of them."""
        given = [each for each in args if each in ACTIONS]
        if given and not any(each in self.commands for each in args):
            if len(set(map(ACTIONS.__getitem__, given))) > 1:
                raise click.UsageError(f"{' and '.join(given)}: one thing at a time", context)
            args = [ACTIONS[given[0]], *(each for each in args if each not in ACTIONS)]
        return super().parse_args(context, args)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, then commands, then the flags that are actions."""
        super().format_options(context, formatter)
        with formatter.section("As in NCG, flags are actions too"):
            rows: dict[str, list[str]] = {}
            for flag, command in ACTIONS.items():
                rows.setdefault(command, []).append(flag)
            formatter.write_dl([(", ".join(flags), f"ncgctl {command}") for command, flags in rows.items()])
