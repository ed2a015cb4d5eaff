// The same job with Bento, the stream processor that somebody would configure instead: this is its Lambda function
// (cmd/serverless/bento-lambda) with the components that pipeline.yaml uses, and no others.
package main

import (
	"context"
	_ "embed"
	"os"

	"github.com/warpstreamlabs/bento/public/components/aws"
	_ "github.com/warpstreamlabs/bento/public/components/crypto"
	_ "github.com/warpstreamlabs/bento/public/components/io"
	_ "github.com/warpstreamlabs/bento/public/components/pure"
)

//go:embed pipeline.yaml
var pipeline string

func main() {
	os.Setenv("BENTO_CONFIG", pipeline)
	aws.RunLambda(context.Background())
}
