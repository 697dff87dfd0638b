"""What is yours beside the assets: `dg scaffold defs` writes below `defs`, from where it is loaded."""
