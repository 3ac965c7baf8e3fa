"""NCG's own flags, which are actions: ``ncgctl --verify --kubeconfig FILE`` is ``ncgctl verify --kubeconfig FILE``."""

import errno
import os
from difflib import get_close_matches
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from ncgd.cli.commands import ACTIONS, HIDDEN, SECTIONS, known
from ncgd.cli.ending import EXIT_NO, stop


class Actions(click.Group):
    """A group of commands, some of which may also be given as a flag, anywhere on the line."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Names of those that a person uses."""
        return [name for name, _ in known()]

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with its module loaded now."""
        each = {**dict(known()), **HIDDEN}.get(cmd_name)
        if each is None:
            return None
        command = getattr(import_module(f"ncgd.cli.{each.module}"), each.function or cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant. Raises UsageError with what was perhaps meant."""
        name = args[0]
        if not name.startswith("-") and self.get_command(context, name) is None:
            near = get_close_matches(name, self.list_commands(context), n=1)
            raise click.UsageError(f"No such command {name!r}.{f' Did you mean {near[0]!r}?' if near else ''}", context)
        return super().resolve_command(context, args)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the command that a flag stands for in front. Raises UsageError for two of them."""
        given = [each for each in args if each in ACTIONS]
        if given and not any(each in self.list_commands(context) for each in args):
            if len(set(map(ACTIONS.__getitem__, given))) > 1:
                raise click.UsageError(f"{' and '.join(given)}: one thing at a time", context)
            args = [ACTIONS[given[0]], *(each for each in args if each not in ACTIONS)]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> object:
        """Run the command that is meant. Where its output finds no room, it ends with a word."""
        try:
            return super().invoke(context)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries again at its end with what is left
            stop(f"cannot write the output: {error.strerror}", EXIT_NO)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, the flags that are commands too, then the options."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, each.does) for name, each in commands.items()])
        with formatter.section("NCG's own flags, with the same options"):
            formatter.write_dl([(name, ", ".join(each.flags)) for name, each in known() if each.flags])
        click.Command.format_options(self, context, formatter)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """As it is written."""
        formatter.write(f"\n{self.epilog or ''}\n")

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands with what they do, without loading them, and the options."""
        items = [CompletionItem(name, help=each.does) for name, each in known() if name.startswith(incomplete)]
        return [*items, *click.Command.shell_complete(self, context, incomplete)]
