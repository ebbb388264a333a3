"""Running a process inside a root file system, by the best means that the machine allows.

`enter` gets the whole build a mount namespace; NamespaceSandbox and ChrootSandbox are the two ways of running a step;
`probe` says what is possible here. What runs in the helper process (`helper` and below) imports nothing heavy.
"""
