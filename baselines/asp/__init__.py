"""ASP-style autoregressive extraction; ``README.md`` says what is the published method and what isn't."""
