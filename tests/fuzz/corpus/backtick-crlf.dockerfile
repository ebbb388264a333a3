# escape=`
FROM base AS One
ENV A=c:\dir B=`$A C=a` b
RUN echo a `
  b
COPY a `
  /x
CMD ["a"]
