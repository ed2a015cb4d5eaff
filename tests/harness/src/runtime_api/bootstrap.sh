#!/bin/bash
# A Lambda function in shell for the tests of the harness. It runs $SCRIPT, which may call the two functions below.
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"

next() {
  local answer
  answer=$(curl -sS -i "$api/invocation/next")
  id=$(tr -d '\r' <<<"$answer" | sed -n 's/^lambda-runtime-aws-request-id: //Ip')
  event=${answer##*$'\r\n\r\n'}
}

post() { curl -sS -o /dev/null -w '%{http_code}\n' -d "$2" "$api/$1"; }

eval "$SCRIPT"
