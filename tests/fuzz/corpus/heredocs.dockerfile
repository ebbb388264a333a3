FROM base
ARG V=v
RUN <<EOF
echo $V "${W:-x}"
EOF
RUN python3 <<-"END" 3<<'OTHER' | cat
	print("$V")
	END
second
OTHER
COPY <<one <<"two" plain /d/
$V ${V} \$V \\ ' "
one
$V
two
RUN <<SCRIPT
#!/bin/sh -e
true
SCRIPT
ONBUILD RUN <<X
true
X
