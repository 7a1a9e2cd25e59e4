"""One run: who looks at which file, in which process, and what is known from before."""
