"""The command `wes`: a client of any WES server, `wes up`, and commands of operators."""
